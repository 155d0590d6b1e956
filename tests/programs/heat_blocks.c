/* Runs the heat example's solver without a bridge, and writes each rank's block to a file, for a
 * comparison with serial.py: heat_blocks SIZE STEPS SOURCE_OFF_STEP FOLDER */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

#include "grid.h"
#include "problem.h"

static void write_block(const heat_grid* grid, const heat_block* block, const char* folder) {
  char path[4096];
  const long long place[4] = {block->row, block->rows, block->column, block->columns};
  snprintf(path, sizeof(path), "%s/block-%d", folder, grid->rank);
  FILE* file = fopen(path, "wb");
  if (file == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
  fwrite(place, sizeof(place), 1, file);
  for (int64_t i = 0; i < block->rows; ++i) {
    fwrite(heat_cell(block, i, 0), sizeof(double), (size_t)block->columns, file);
  }
  fwrite(block->flux, sizeof(float), (size_t)(block->rows * block->columns), file);
  if (fclose(file) != 0) MPI_Abort(MPI_COMM_WORLD, 1);
}

int main(int argc, char** argv) {
  heat_grid grid;
  heat_block block;
  int64_t row, rows, column, columns;
  MPI_Init(&argc, &argv);
  if (argc != 5) MPI_Abort(MPI_COMM_WORLD, 2);
  const int64_t size = atoll(argv[1]), steps = atoll(argv[2]), off = atoll(argv[3]);
  heat_grid_init(&grid);
  heat_part(size, grid.shape[0], grid.position[0], &row, &rows);
  heat_part(size, grid.shape[1], grid.position[1], &column, &columns);
  if (heat_block_init(&block, size, row, rows, column, columns) != 0) MPI_Abort(MPI_COMM_WORLD, 3);
  for (int64_t step = 0; step < steps; ++step) {
    for (int substep = 0; substep < HEAT_SUBSTEPS; ++substep) {
      heat_exchange(&grid, &block);
      heat_substep(&block, off < 0 || step < off);
    }
  }
  heat_exchange(&grid, &block);
  heat_flux(&block);
  write_block(&grid, &block, argv[4]);
  heat_block_free(&block);
  heat_grid_free(&grid);
  MPI_Finalize();
  return 0;
}
