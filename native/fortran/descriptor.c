/* Sends from Fortran's array descriptors (TS 29113). Contiguity is never assumed: the strides are
 * those of the descriptor, whatever the compiler has handed over. The C ABI has copied the elements
 * before it returns, also from an asynchronous send, so that a temporary of the compiler may go. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "glue.h"

/* The memory of one chunk, as the C ABI takes it. */
typedef struct view {
  const void* data;
  int32_t ndim;
  int64_t shape[CFI_MAX_RANK], strides[CFI_MAX_RANK];
} view;

static view view_of(const CFI_cdesc_t* array) {
  view seen = {array->base_addr, array->rank, {0}, {0}};
  for (int d = 0; d < array->rank; ++d) {
    seen.shape[d] = array->dim[d].extent;
    seen.strides[d] = array->dim[d].sm;
  }
  if (array->rank == 0) {
    seen.ndim = 1;
    seen.shape[0] = 1;
  }
  return seen;
}

/* One byte, 0 or 1, for each of `count` logicals of `size` bytes: .true. is any bit pattern but
 * that of .false., which is zero. */
static void convert_row(const char* from, int64_t stride, size_t size, int64_t count,
                        unsigned char* to) {
#define CONVERT(T)                                      \
  for (int64_t i = 0; i < count; ++i, from += stride) { \
    T value;                                            \
    memcpy(&value, from, sizeof(value));                \
    to[i] = value != 0;                                 \
  }
  switch (size) {
    case 1:
      CONVERT(uint8_t)
      break;
    case 2:
      CONVERT(uint16_t)
      break;
    case 4:
      CONVERT(uint32_t)
      break;
    default:
      CONVERT(uint64_t)
      break;
  }
#undef CONVERT
}

/* Converts logicals into bytes, contiguous with the first dimension fastest, as they were: packing
 * transposes. Returns the memory, which the caller frees, or NULL. */
static void* convert_logicals(view* array, size_t size) {
  size_t elements = 1;
  for (int d = 0; d < array->ndim; ++d) elements *= (size_t)array->shape[d];
  unsigned char* bytes = malloc(elements > 0 ? elements : 1);
  if (bytes == NULL) return NULL;
  const int64_t row = array->shape[0];
  int64_t index[CFI_MAX_RANK] = {0};
  const char* from = array->data;
  for (size_t done = 0; done < elements; done += (size_t)row) {
    convert_row(from, array->strides[0], size, row, bytes + done);
    for (int d = 1; d < array->ndim; ++d) {
      from += array->strides[d];
      if (++index[d] < array->shape[d]) break;
      from -= array->strides[d] * array->shape[d];
      index[d] = 0;
    }
  }
  int64_t stride = 1;
  for (int d = 0; d < array->ndim; ++d) {
    array->strides[d] = stride;
    stride *= array->shape[d];
  }
  array->data = bytes;
  return bytes;
}

static size_t element_size(int dtype) {
  switch (dtype) {
    case DEISA_INT8:
    case DEISA_UINT8:
      return 1;
    case DEISA_INT16:
    case DEISA_UINT16:
    case DEISA_FLOAT16:
      return 2;
    case DEISA_INT32:
    case DEISA_UINT32:
    case DEISA_FLOAT32:
      return 4;
    case DEISA_INT64:
    case DEISA_UINT64:
    case DEISA_FLOAT64:
    case DEISA_COMPLEX64:
      return 8;
    case DEISA_COMPLEX128:
      return 16;
    default:
      return 0; /* any */
  }
}

/* Excludes the ghost cells. A block that is too small stays unchanged, and the C ABI refuses it. */
static void go_inside(view* seen, const int64_t* halo) {
  const int64_t *before = halo + 1, *after = halo + 1 + halo[0];
  if (halo[0] != seen->ndim) return;
  for (int d = 0; d < seen->ndim; ++d) {
    if (seen->shape[d] < before[d] + after[d]) return;
  }
  for (int d = 0; d < seen->ndim; ++d) {
    seen->data = (const char*)seen->data + before[d] * seen->strides[d];
    seen->shape[d] -= before[d] + after[d];
  }
}

static deisa_source source_of(const view* seen, int dtype) {
  deisa_source source = DEISA_SOURCE_INIT;
  source.data = seen->data;
  source.dtype = (deisa_dtype)dtype;
  source.ndim = seen->ndim;
  source.shape = seen->shape;
  source.strides = seen->strides;
  return source;
}

/* Reads the descriptor. `*owned` is memory that the caller frees after the send. */
static deisa_status read_array(const char* name, const CFI_cdesc_t* array, int dtype,
                               const int64_t* halo, view* seen, void** owned, deisa_error* error) {
  char message[400];
  const size_t size = element_size(dtype);
  *owned = NULL;
  if (array->base_addr == NULL) {
    snprintf(message, sizeof(message),
             "array '%.255s': what was given is not allocated, or a pointer that is not associated",
             name);
    return deisa_fortran_fail(DEISA_ERROR_CONTRACT, name, message, error);
  }
  if (size != 0 && size != array->elem_len) {
    snprintf(message, sizeof(message),
             "the compiler's descriptor has elements of %zu bytes: expected %zu. Was glue.c "
             "compiled by another vendor than the module?",
             (size_t)array->elem_len, size);
    return deisa_fortran_fail(DEISA_ERROR_INTERNAL, name, message, error);
  }
  *seen = view_of(array);
  go_inside(seen, halo);
  if (dtype == DEISA_BOOL) {
    *owned = convert_logicals(seen, array->elem_len);
    if (*owned == NULL) {
      return deisa_fortran_fail(DEISA_ERROR_RESOURCE, name,
                                "out of memory while converting logicals", error);
    }
  }
  return DEISA_OK;
}

deisa_status deisa_fortran_send(deisa_bridge* bridge, const char* name, const CFI_cdesc_t* array,
                                int dtype, const int64_t* halo, int64_t timestep,
                                deisa_request* request, deisa_error* error) {
  view seen;
  void* owned;
  deisa_status status = read_array(name, array, dtype, halo, &seen, &owned, error);
  if (status == DEISA_OK) {
    const deisa_source source = source_of(&seen, dtype);
    status = deisa_send_from(bridge, name, &source, timestep, request, error);
  }
  free(owned);
  return status;
}

deisa_status deisa_fortran_put(deisa_bridge* bridge, const char* name, const CFI_cdesc_t* array,
                               int dtype, const int64_t* halo, deisa_error* error) {
  view seen;
  void* owned;
  deisa_status status = read_array(name, array, dtype, halo, &seen, &owned, error);
  if (status == DEISA_OK) {
    const deisa_source source = source_of(&seen, dtype);
    status = deisa_put_from(bridge, name, &source, error);
  }
  free(owned);
  return status;
}
