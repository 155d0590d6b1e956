#include "grid.h"

void heat_grid_init(heat_grid* grid) {
  const int periodic[2] = {0, 0};
  int size;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  grid->shape[0] = grid->shape[1] = 0;
  MPI_Dims_create(size, 2, grid->shape);
  /* No reordering: the rank here is the rank in MPI_COMM_WORLD. */
  MPI_Cart_create(MPI_COMM_WORLD, 2, grid->shape, periodic, 0, &grid->communicator);
  MPI_Comm_rank(grid->communicator, &grid->rank);
  MPI_Cart_coords(grid->communicator, grid->rank, 2, grid->position);
  MPI_Cart_shift(grid->communicator, 0, 1, &grid->above, &grid->below);
  MPI_Cart_shift(grid->communicator, 1, 1, &grid->left, &grid->right);
}

void heat_grid_free(heat_grid* grid) { MPI_Comm_free(&grid->communicator); }

void heat_part(int64_t size, int parts, int index, int64_t* first, int64_t* length) {
  const int64_t least = size / parts, longer = size % parts;
  *length = least + (index < longer ? 1 : 0);
  *first = index * least + (index < longer ? index : longer);
}

void heat_exchange(const heat_grid* grid, const heat_block* block) {
  const int64_t rows = block->rows, columns = block->columns;
  MPI_Request requests[8];
  MPI_Datatype column;
  MPI_Type_vector((int)rows, 1, (int)columns + 2, MPI_DOUBLE, &column);
  MPI_Type_commit(&column);
  const struct {
    int neighbour;
    double *ghost, *edge;
    int count;
    MPI_Datatype type;
    int to, from; /* tags: the direction that the message travels in */
  } sides[4] = {
      {grid->above, heat_cell(block, -1, 0), heat_cell(block, 0, 0), (int)columns, MPI_DOUBLE, 0,
       1},
      {grid->below, heat_cell(block, rows, 0), heat_cell(block, rows - 1, 0), (int)columns,
       MPI_DOUBLE, 1, 0},
      {grid->left, heat_cell(block, 0, -1), heat_cell(block, 0, 0), 1, column, 2, 3},
      {grid->right, heat_cell(block, 0, columns), heat_cell(block, 0, columns - 1), 1, column, 3,
       2},
  };
  for (int s = 0; s < 4; ++s) {
    MPI_Irecv(sides[s].ghost, sides[s].count, sides[s].type, sides[s].neighbour, sides[s].from,
              grid->communicator, &requests[2 * s]);
    MPI_Isend(sides[s].edge, sides[s].count, sides[s].type, sides[s].neighbour, sides[s].to,
              grid->communicator, &requests[2 * s + 1]);
  }
  MPI_Waitall(8, requests, MPI_STATUSES_IGNORE);
  MPI_Type_free(&column);

  for (int64_t j = 0; j < columns; ++j) {
    if (grid->above == MPI_PROC_NULL) *heat_cell(block, -1, j) = *heat_cell(block, 0, j);
    if (grid->below == MPI_PROC_NULL) *heat_cell(block, rows, j) = *heat_cell(block, rows - 1, j);
  }
  for (int64_t i = 0; i < rows; ++i) {
    if (grid->left == MPI_PROC_NULL) *heat_cell(block, i, -1) = *heat_cell(block, i, 0);
    if (grid->right == MPI_PROC_NULL)
      *heat_cell(block, i, columns) = *heat_cell(block, i, columns - 1);
  }
}
