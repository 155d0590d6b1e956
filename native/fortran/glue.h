/* What the Fortran module calls beside the C ABI: conversions from what Fortran hands over. The
 * files of C in this folder must be compiled by the companion of the Fortran compiler that compiles
 * the module, because ISO_Fortran_binding.h describes that compiler's descriptors.
 *
 * Texts are NUL-terminated; `error` is never NULL. */
#ifndef DEISA_FORTRAN_GLUE_H
#define DEISA_FORTRAN_GLUE_H

#include <ISO_Fortran_binding.h>
#include <deisa/deisa.h>

/* Options that are not given have this value, and keep the default of deisa.h. */
#define DEISA_FORTRAN_UNSET_INTEGER (-2147483647)
#define DEISA_FORTRAN_UNSET_REAL (-1.7e308)

/* The derived type c_options of the module deisa_c, member by member. */
typedef struct deisa_fortran_options {
  int32_t bridge_id, world_size, master_port, init_retries, max_in_flight;
  int32_t when_full, max_ahead, window;
  int32_t acknowledge, error_mode;
  double comm_timeout, ready_timeout, send_timeout;
  double block_timeout, store_threshold, feedback_interval;
  deisa_error_handler error_handler;
  void* error_handler_data;
} deisa_fortran_options;

/* As deisa_open. An empty text keeps the default. `comm` is NULL, or the integer handle of an MPI
 * communicator; then libdeisa_mpi is loaded. */
deisa_status deisa_fortran_open(const deisa_fortran_options* given, const char* master_address,
                                const char* ray_address, const char* node_id,
                                const char* node_actor, const int* comm, deisa_bridge** bridge,
                                deisa_error* error);

/* As deisa_send_from and deisa_put_from, with data, shape and strides from the descriptor. An array
 * of rank 0 is a chunk of shape (1). `dtype` is that of the array; elements of DEISA_BOOL are
 * Fortran logicals of any size. `halo[0]` dimensions have ghost cells: as many numbers of cells before
 * the chunk follow, and as many after it; the array is then the whole block. */
deisa_status deisa_fortran_send(deisa_bridge* bridge, const char* name, const CFI_cdesc_t* array,
                                int dtype, const int64_t* halo, int64_t timestep,
                                deisa_request* request, deisa_error* error);
deisa_status deisa_fortran_put(deisa_bridge* bridge, const char* name, const CFI_cdesc_t* array,
                               int dtype, const int64_t* halo, deisa_error* error);

/* As deisa_loan, and as deisa_send_from and deisa_put_from with one, for a pointer: its index
 * (i, j, ...) is that of the chunk, so its last dimension is contiguous. A pointer of another type or
 * rank than the array, and one that is at a part of the loan, is an error. deisa_fortran_loan sets it,
 * with lower bounds of 1; after an error it is not associated. The others change nothing but its
 * address. */
deisa_status deisa_fortran_loan(deisa_bridge* bridge, const char* name, CFI_cdesc_t* array,
                                int dtype, deisa_error* error);
deisa_status deisa_fortran_send_loan(deisa_bridge* bridge, const char* name, CFI_cdesc_t* array,
                                     int dtype, int64_t timestep, deisa_request* request,
                                     deisa_error* error);
deisa_status deisa_fortran_put_loan(deisa_bridge* bridge, const char* name, CFI_cdesc_t* array,
                                    int dtype, deisa_error* error);

/* Fills in `error`, for failures that are found outside the C ABI. Returns `status`. */
deisa_status deisa_fortran_fail(deisa_status status, const char* array, const char* message,
                                deisa_error* error);

/* "rank 3: array 't': timestep 7: contract violation: ..." */
void deisa_fortran_describe(const deisa_error* error, char* text, size_t capacity);

#endif
