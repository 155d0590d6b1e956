/* What the simulations of bench/compare, send.c and iterate.c, have in common. PROGRAM is the name
 * of the one that includes it. */
#ifndef DEISA_BENCH_SIMULATION_H
#define DEISA_BENCH_SIMULATION_H

#include <deisa/deisa.h>
#include <mpi.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static deisa_error error;

static void stop(const char* text) {
  fprintf(stderr, PROGRAM ": %s\n", text);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

static void check(deisa_status status) {
  if (status == DEISA_OK) return;
  fprintf(stderr, PROGRAM ": %s: %s\n", deisa_status_string(status), error.message);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Waits until bench/compare has made a file, for five minutes at most. Every rank looks: one that
 * waited in MPI would take a CPU for it. */
static void wait_for(const char* path, const char* what) {
  const struct timespec pause = {0, 20 * 1000 * 1000};
  for (int i = 0; access(path, F_OK) != 0; ++i) {
    if (i == 5 * 60 * 50) stop(what);
    nanosleep(&pause, NULL);
  }
}

#endif
