/* Fortran pointers at memory that the bridge lends. The chunk lies there with its last index
 * fastest, while the pointer keeps the order of the indices. No statement of Fortran makes such a
 * pointer, and no function of ISO_Fortran_binding.h turns dimensions round: so bounds and strides
 * are written into the descriptor, which the compiler has handed over for the pointer that is to be
 * set. */
#include <stdint.h>
#include <stdio.h>

#include "glue.h"

/* Fails unless the pointer is at the whole buffer, as it was made: a part of it would send all of
 * it. */
static deisa_status check_whole(const char* name, const CFI_cdesc_t* array, const int64_t* shape,
                                deisa_error* error) {
  char message[400];
  int64_t stride = (int64_t)array->elem_len;
  for (int d = array->rank - 1; d >= 0; --d) {
    /* The stride of one element is nobody's. */
    const int moved = shape[d] > 1 && array->dim[d].sm != stride;
    if (array->dim[d].extent != shape[d] || moved) {
      snprintf(message, sizeof(message),
               "array '%.255s': the pointer is at a part of the lent buffer: dimension %d has %lld "
               "elements%s, expected all %lld, as allocate set it",
               name, d + 1, (long long)array->dim[d].extent, moved ? " and another stride" : "",
               (long long)shape[d]);
      return deisa_fortran_fail(DEISA_ERROR_ARGUMENT, name, message, error);
    }
    stride *= shape[d];
  }
  return DEISA_OK;
}

deisa_status deisa_fortran_allocate(deisa_bridge* bridge, const char* name, CFI_cdesc_t* array,
                                    int dtype, deisa_error* error) {
  int64_t shape[CFI_MAX_RANK] = {0};
  char message[400];
  void* buffer = NULL;
  array->base_addr = NULL;
  const deisa_status status =
      deisa_allocate_as(bridge, name, (deisa_dtype)dtype, array->rank, shape, &buffer, error);
  if (status < 0) return status;
  if (buffer ==
      NULL) { /* only under DEISA_DISABLE: the program would write through a null pointer */
    snprintf(message, sizeof(message),
             "array '%.255s': it was not defined, or not with the type and rank of the pointer",
             name);
    return deisa_fortran_fail(DEISA_ERROR_CONTRACT, name, message, error);
  }
  array->base_addr = buffer;
  CFI_index_t stride = (CFI_index_t)array->elem_len;
  for (int d = array->rank - 1; d >= 0; --d) {
    array->dim[d].lower_bound = 1;
    array->dim[d].extent = (CFI_index_t)shape[d];
    array->dim[d].sm = stride;
    stride *= (CFI_index_t)shape[d];
  }
  return status;
}

/* What send and put ask first. The buffer that is lent already is the answer. */
static deisa_status check_lent(deisa_bridge* bridge, const char* name, const CFI_cdesc_t* array,
                               int dtype, deisa_error* error) {
  int64_t shape[CFI_MAX_RANK] = {0};
  void* lent = NULL;
  const deisa_status status =
      deisa_allocate_as(bridge, name, (deisa_dtype)dtype, array->rank, shape, &lent, error);
  if (status < 0 || lent == NULL || lent != array->base_addr) return status;
  return check_whole(name, array, shape, error);
}

/* Bounds and strides are the same in the next buffer, and so are the lower bounds of the program.
 */
deisa_status deisa_fortran_send_allocated(deisa_bridge* bridge, const char* name,
                                          CFI_cdesc_t* array, int dtype, int64_t timestep,
                                          deisa_request* request, deisa_error* error) {
  const deisa_status status = check_lent(bridge, name, array, dtype, error);
  if (status < 0) return status;
  if (request != NULL) {
    return deisa_send_allocated_async(bridge, name, &array->base_addr, timestep, request, error);
  }
  return deisa_send_allocated(bridge, name, &array->base_addr, timestep, error);
}

deisa_status deisa_fortran_put_allocated(deisa_bridge* bridge, const char* name, CFI_cdesc_t* array,
                                         int dtype, deisa_error* error) {
  const deisa_status status = check_lent(bridge, name, array, dtype, error);
  if (status < 0) return status;
  return deisa_put_allocated(bridge, name, &array->base_addr, error);
}
