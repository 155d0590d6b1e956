/* The heat equation on a square of n x n cells with insulated edges, and one rank's block of it.
 *
 * A disc of cells is heated by HEAT_SOURCE_RATE per sub-step while the source is on. One timestep
 * is HEAT_SUBSTEPS explicit sub-steps. serial.py computes the same numbers, to the last bit: each
 * expression here has its twin there, with the same order of operations, and this file is compiled
 * without fused multiply-add. */
#ifndef HEAT_PROBLEM_H
#define HEAT_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

#define HEAT_SUBSTEPS 50
#define HEAT_DIFFUSION 0.2    /* diffusivity * time / area of a cell; stable up to 0.25 */
#define HEAT_SOURCE_RATE 0.02 /* kelvin per sub-step */

/* One rank's block. Temperatures have a frame of one ghost cell around rows x columns. */
typedef struct heat_block {
  int64_t size;             /* n: cells of the whole square, per dimension */
  int64_t rows, columns;    /* cells of this block */
  int64_t row, column;      /* the block's first cell in the square */
  double* temperature;      /* (rows + 2) x (columns + 2) */
  double* next;             /* as temperature; swapped with it by heat_substep */
  float* flux;              /* rows x columns: magnitude of the temperature's gradient */
  unsigned char* is_heated; /* rows x columns */
} heat_block;

/* Allocates a block and sets its temperature at the start. Returns 0, or -1 without memory. */
int heat_block_init(heat_block* block, int64_t size, int64_t row, int64_t rows, int64_t column,
                    int64_t columns);
void heat_block_free(heat_block* block);

/* The address of cell (i, j), -1 ... rows and -1 ... columns, ghosts included. */
double* heat_cell(const heat_block* block, int64_t i, int64_t j);

/* One explicit sub-step. The ghost cells must be up to date before; they are not after. */
void heat_substep(heat_block* block, int source_is_on);

/* Computes `flux`. The ghost cells must be up to date. */
void heat_flux(heat_block* block);

#endif
