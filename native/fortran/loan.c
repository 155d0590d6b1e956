/* Fortran pointers to loans. In a loan the last index is the fastest, while the pointer
 * keeps the order of the indices. No statement of Fortran makes such a pointer, and no function of
 * ISO_Fortran_binding.h reverses dimensions. So bounds and strides are written into the
 * descriptor that the compiler passes for the pointer to be set. */
#include <stdint.h>
#include <stdio.h>

#include "glue.h"

/* Fails unless the pointer points to the whole loan: a pointer to a part would send all of
 * it. */
static deisa_status check_whole(const char* name, const CFI_cdesc_t* array, const int64_t* shape,
                                deisa_error* error) {
  char message[400];
  int64_t stride = (int64_t)array->elem_len;
  for (int d = array->rank - 1; d >= 0; --d) {
    /* The stride of a single element does not matter. */
    const int moved = shape[d] > 1 && array->dim[d].sm != stride;
    if (array->dim[d].extent != shape[d] || moved) {
      snprintf(message, sizeof(message),
               "array '%.255s': the pointer is at a part of the loan: dimension %d has %lld "
               "elements%s, expected all %lld, as loan set it",
               name, d + 1, (long long)array->dim[d].extent, moved ? " and another stride" : "",
               (long long)shape[d]);
      return deisa_fortran_fail(DEISA_ERROR_ARGUMENT, name, message, error);
    }
    stride *= shape[d];
  }
  return DEISA_OK;
}

/* The loan of an array, made on the first call. Fails if the pointer cannot point to it. */
static deisa_status find_loan(deisa_bridge* bridge, const char* name, const CFI_cdesc_t* array,
                              int dtype, deisa_layout* layout, void** loan, deisa_error* error) {
  char message[500];
  const deisa_status status = deisa_loan(bridge, name, loan, layout, error);
  if (status < 0) return status;
  if (*loan == NULL) { /* under DEISA_DISABLE: the program would write through a null pointer */
    snprintf(message, sizeof(message), "array '%.255s': it was not defined", name);
    return deisa_fortran_fail(DEISA_ERROR_CONTRACT, name, message, error);
  }
  if ((int)layout->dtype == dtype && layout->ndim == array->rank) return status;
  *loan = NULL;
  snprintf(
      message, sizeof(message),
      "array '%.255s': the pointer has rank %d%s: expected rank %d, and the type that the array "
      "was defined with",
      name, array->rank, (int)layout->dtype == dtype ? "" : " and elements of another type",
      (int)layout->ndim);
  return deisa_fortran_fail(DEISA_ERROR_CONTRACT, name, message, error);
}

deisa_status deisa_fortran_loan(deisa_bridge* bridge, const char* name, CFI_cdesc_t* array,
                                int dtype, deisa_error* error) {
  deisa_layout layout = DEISA_LAYOUT_INIT;
  void* loan = NULL;
  array->base_addr = NULL;
  const deisa_status status = find_loan(bridge, name, array, dtype, &layout, &loan, error);
  if (status < 0) return status;
  array->base_addr = loan;
  CFI_index_t stride = (CFI_index_t)array->elem_len;
  for (int d = array->rank - 1; d >= 0; --d) {
    array->dim[d].lower_bound = 1;
    array->dim[d].extent = (CFI_index_t)layout.chunk_shape[d];
    array->dim[d].sm = stride;
    stride *= (CFI_index_t)layout.chunk_shape[d];
  }
  return status;
}

/* For send and put, which refuse other memory themselves: fails if the pointer is to a part. */
static deisa_status check_loan(deisa_bridge* bridge, const char* name, const CFI_cdesc_t* array,
                               int dtype, deisa_error* error) {
  deisa_layout layout = DEISA_LAYOUT_INIT;
  void* loan = NULL;
  const deisa_status status = find_loan(bridge, name, array, dtype, &layout, &loan, error);
  if (status < 0 || loan != array->base_addr) return status;
  return check_whole(name, array, layout.chunk_shape, error);
}

/* Bounds and strides are the same in the next loan, and so are the lower bounds of the program. */
deisa_status deisa_fortran_send_loan(deisa_bridge* bridge, const char* name, CFI_cdesc_t* array,
                                     int dtype, int64_t timestep, deisa_request* request,
                                     deisa_error* error) {
  deisa_source source = DEISA_SOURCE_INIT;
  const deisa_status status = check_loan(bridge, name, array, dtype, error);
  if (status < 0) return status;
  source.loan = &array->base_addr;
  return deisa_send_from(bridge, name, &source, timestep, request, error);
}

deisa_status deisa_fortran_put_loan(deisa_bridge* bridge, const char* name, CFI_cdesc_t* array,
                                    int dtype, deisa_error* error) {
  deisa_source source = DEISA_SOURCE_INIT;
  const deisa_status status = check_loan(bridge, name, array, dtype, error);
  if (status < 0) return status;
  source.loan = &array->base_addr;
  return deisa_put_from(bridge, name, &source, error);
}
