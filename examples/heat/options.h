/* The command line of the heat simulation. */
#ifndef HEAT_OPTIONS_H
#define HEAT_OPTIONS_H

#include <stdint.h>

typedef struct heat_options {
  int64_t size;       /* cells per dimension of the square */
  int64_t steps;      /* timesteps */
  double pace;        /* least seconds per timestep, as if the solver took that long */
  int without_mpi;    /* the bridges meet by Gloo, not over MPI */
  const char* report; /* file for rank 0's report, or NULL */
} heat_options;

/* Reads the command line. Returns 0, or -1 after saying on stderr (when `speaks`) what is wrong. */
int heat_options_read(int argc, char** argv, int speaks, heat_options* options);

#endif
