/* deisa_gloo.h - a communicator without MPI, over TCP (libdeisa_gloo.so).
 *
 * deisa_ready() uses it by itself when no communicator was given. Call it directly to share one
 * communicator's settings with other code, or to choose another rank order.
 */
#ifndef DEISA_DEISA_GLOO_H
#define DEISA_DEISA_GLOO_H

#include "deisa/deisa.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Collective. The rendezvous of all ranks: rank 0 listens on `master_port`, the others connect to it at
 * `master_address`; then the node leaders connect to each other, and the other ranks to
 * the leader of their node.
 *   rank            0 ... size-1, a different one in every process
 *   size            1 ... 1048576, the same in every process
 *   master_address  name or address of the machine of rank 0, which listens there. With "localhost",
 *                   127.0.0.1 or ::1, it accepts ranks of its own machine only
 *   master_port     1 ... 65535, free on the machine of rank 0
 *   timeout         seconds, > 0, for all of it
 *   out             filled in on DEISA_OK and zeroed otherwise; owned by the caller until it is given to
 *                   deisa_open or its `release` is called
 * With DEISA_SECRET in the environment (at most 256 bytes), rank 0 and the others refuse each other unless
 * they have the same. It is not sent; what is sent afterwards is not encrypted.
 * Errors: DEISA_ERROR_ARGUMENT (also: two processes with one rank, different sizes, a name that
 * cannot be resolved), DEISA_ERROR_TIMEOUT (the message names the ranks that arrived and the missing ones),
 * DEISA_ERROR_COMMUNICATOR (the port is in use; a rank died), DEISA_ERROR_RESOURCE.
 * May be called from any thread. Starts threads, with every signal blocked in them. */
DEISA_EXPORT deisa_status deisa_gloo_open(int32_t rank, int32_t size, const char* master_address,
                                          int32_t master_port, double timeout,
                                          deisa_communicator* out, deisa_error* error);

#ifdef __cplusplus
}
#endif

#endif /* DEISA_DEISA_GLOO_H */
