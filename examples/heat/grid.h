/* The 2-D grid of ranks: who computes which block, and the exchange of ghost cells. */
#ifndef HEAT_GRID_H
#define HEAT_GRID_H

#include <mpi.h>
#include <stdint.h>

#include "problem.h"

typedef struct heat_grid {
  MPI_Comm communicator;
  int rank;
  int shape[2];                  /* ranks per dimension: rows, columns */
  int position[2];               /* of this rank */
  int above, below, left, right; /* neighbours, or MPI_PROC_NULL at an edge of the square */
} heat_grid;

/* Arranges the ranks of MPI_COMM_WORLD. Collective. */
void heat_grid_init(heat_grid* grid);
void heat_grid_free(heat_grid* grid);

/* Part `index` of `parts` of 0 ... size: its first element and its length. Lengths differ by at
 * most one: 10 over 4 is 3, 3, 2, 2. */
void heat_part(int64_t size, int parts, int index, int64_t* first, int64_t* length);

/* Fills the ghost cells from the neighbours; at an edge of the square, where nothing flows, from
 * the cell beside them. Collective. */
void heat_exchange(const heat_grid* grid, const heat_block* block);

#endif
