/* A process that answers messages: what a bare round trip over a Unix socket takes. */
#ifndef DEISA_BENCH_TRIP_H
#define DEISA_BENCH_TRIP_H

/* Starts it by fork: call this before there are threads. Returns the socket to it, or -1. It ends
 * when the socket is closed. */
int trip_start(void);

/* Sends a message of the size of a STEP and waits for one of the size of RECEIVED. 0: it came. */
int trip_once(int socket);

#endif
