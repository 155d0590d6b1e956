/* deisa_mpi.h - a communicator from an MPI communicator (libdeisa_mpi.so).
 *
 *   deisa_communicator communicator;
 *   deisa_mpi_open(MPI_COMM_WORLD, &communicator, &error);
 *   options.communicator = &communicator;
 */
#ifndef DEISA_DEISA_MPI_H
#define DEISA_DEISA_MPI_H

#include <mpi.h>

#include "deisa/deisa.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Collective over `comm`, an intracommunicator: duplicates it (MPI_Comm_dup, which has no
 * timeout), so that its messages never match those of the simulation. `comm` still belongs to the caller
 * and is not changed. `out` is filled in on DEISA_OK and zeroed otherwise; the caller owns it until it is
 * given to deisa_open or its `release` is called. Release it before MPI_Finalize; afterwards
 * it no longer calls MPI.
 *
 * Its functions use non-blocking communication and poll it. After the timeout every rank that arrived
 * gets an error that names the missing ranks, and the communicator stays broken, because MPI cannot
 * cancel a started operation; the memory of that call is kept until the process ends. With
 * MPI_THREAD_FUNNELED or MPI_THREAD_SINGLE all calls must come from the thread that initialised MPI.
 *
 * Errors: DEISA_ERROR_ARGUMENT (MPI_COMM_NULL, an intercommunicator, MPI not initialised or
 * finalised already, a thread that may not call MPI), DEISA_ERROR_COMMUNICATOR (MPI's own, with its
 * text). MPI's error handlers are not called. */
DEISA_EXPORT deisa_status deisa_mpi_open(MPI_Comm comm, deisa_communicator* out,
                                         deisa_error* error);

/* The same for a communicator of Fortran: an INTEGER, or the MPI_VAL of a TYPE(MPI_Comm). */
DEISA_EXPORT deisa_status deisa_mpi_open_fortran(MPI_Fint comm, deisa_communicator* out,
                                                 deisa_error* error);

#ifdef __cplusplus
}
#endif

#endif /* DEISA_DEISA_MPI_H */
