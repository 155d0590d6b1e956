/* The heat equation on a 2-D grid of MPI ranks. After each timestep every rank sends its block of
 * two fields to the analytics (analytics.py), which steer back: they set the feedback value
 * "source_off", and the simulation then switches its heat source off. */
#include <deisa/deisa.h>
#include <deisa/deisa_mpi.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "grid.h"
#include "options.h"
#include "problem.h"

/* A negative status must not be ignored: the other ranks would wait for this one. */
static void check(deisa_status status, const deisa_error* error) {
  if (status >= 0) return;
  fprintf(stderr, "heat: %s: %s\n", deisa_status_string(status), error->message);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

static void sleep_until(double end) {
  const double left = end - MPI_Wtime();
  if (left <= 0.0) return;
  const struct timespec time = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
  nanosleep(&time, NULL);
}

/* Two arrays on the same grid of chunks. Their global shapes follow from the chunks of all ranks.
 */
static void define_arrays(deisa_bridge* bridge, const heat_grid* grid, const heat_block* block) {
  deisa_error error;
  const int64_t shape[2] = {block->rows, block->columns};
  const int64_t chunks[2] = {grid->shape[0], grid->shape[1]};
  const int64_t position[2] = {grid->position[0], grid->position[1]};
  /* Bytes from row to row and from cell to cell: ghost cells are left out as the chunk is sent. */
  const int64_t strides[2] = {(block->columns + 2) * (int64_t)sizeof(double), sizeof(double)};

  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;

  layout.dtype = DEISA_FLOAT32;
  check(deisa_define(bridge, "flux", &layout, &error), &error);
  layout.dtype = DEISA_FLOAT64;
  layout.strides = strides;
  check(deisa_define(bridge, "temperature", &layout, &error), &error);
}

static deisa_bridge* connect_bridge(const heat_grid* grid, const heat_block* block,
                                    int without_mpi) {
  deisa_error error;
  deisa_communicator communicator;
  deisa_options options = DEISA_OPTIONS_INIT;
  if (without_mpi) {
    /* The bridges find each other at DEISA_MASTER_ADDRESS and DEISA_MASTER_PORT. */
    options.bridge_id = grid->rank;
    options.world_size = grid->shape[0] * grid->shape[1];
  } else {
    check(deisa_mpi_open(grid->communicator, &communicator, &error), &error);
    options.communicator = &communicator;
  }
  deisa_bridge* bridge = NULL;
  check(deisa_open(&options, &bridge, &error), &error);
  define_arrays(bridge, grid, block);

  /* Collective, and fails alike on every rank: one message is enough, and nobody waits. */
  if (deisa_ready(bridge, &error) < 0) {
    if (grid->rank == 0) fprintf(stderr, "heat: %s\n", error.message);
    deisa_abandon(&bridge);
    MPI_Finalize();
    exit(1);
  }
  return bridge;
}

static void send_step(deisa_bridge* bridge, const heat_block* block, int64_t step) {
  deisa_error error;
  check(deisa_begin_step(bridge, step, &error), &error);
  check(deisa_put(bridge, "temperature", heat_cell(block, 0, 0), &error), &error);
  check(deisa_put(bridge, "flux", block->flux, &error), &error);
  check(deisa_end_step(bridge, NULL, &error), &error);
}

/* What rank 0 has to tell the program that started it. A step of -1: the source was never off. */
static int write_report(const heat_options* options, const heat_grid* grid, int64_t source_off_step,
                        const deisa_statistics* status) {
  FILE* file = fopen(options->report, "w");
  if (file == NULL) {
    perror(options->report);
    return -1;
  }
  fprintf(file,
          "{\"size\": %lld, \"steps\": %lld, \"grid\": [%d, %d], \"source_off_step\": %lld,\n"
          " \"chunks_sent\": %lld, \"bytes_sent\": %lld, \"seconds_blocked\": %.6f}\n",
          (long long)options->size, (long long)options->steps, grid->shape[0], grid->shape[1],
          (long long)source_off_step, (long long)status->chunks_sent, (long long)status->bytes_sent,
          status->seconds_blocked);
  return fclose(file) == 0 ? 0 : -1;
}

static int simulate(const heat_options* options, const heat_grid* grid, heat_block* block) {
  deisa_error error;
  deisa_bridge* bridge = connect_bridge(grid, block, options->without_mpi);
  int64_t source_off_step = -1;

  for (int64_t step = 0; step < options->steps; ++step) {
    const double start = MPI_Wtime();
    if (source_off_step < 0) {
      /* Collective: rank 0 reads and all ranks get the same answer, so they obey at the same step.
       */
      double source_off = 0.0;
      deisa_get_options same_on_all = DEISA_GET_OPTIONS_INIT;
      same_on_all.collective = 1;
      check(deisa_get_double(bridge, "source_off", &same_on_all, &source_off, &error), &error);
      if (source_off != 0.0) source_off_step = step;
    }
    for (int substep = 0; substep < HEAT_SUBSTEPS; ++substep) {
      heat_exchange(grid, block);
      heat_substep(block, source_off_step < 0);
    }
    heat_exchange(grid, block);
    heat_flux(block);
    sleep_until(start + options->pace);
    send_step(bridge, block, step);
    if (grid->rank == 0) {
      printf("timestep %lld sent, source %s\n", (long long)step,
             source_off_step < 0 ? "on" : "off");
      fflush(stdout);
    }
  }

  deisa_statistics status = {.struct_size = sizeof(status)};
  check(deisa_get_statistics(bridge, &status, &error), &error);
  check(deisa_close(&bridge, options->steps, &error), &error);
  if (grid->rank == 0 && options->report) {
    return write_report(options, grid, source_off_step, &status);
  }
  return 0;
}

int main(int argc, char** argv) {
  heat_grid grid;
  heat_block block;
  heat_options options;
  int64_t row, rows, column, columns;
  int status = 1;

  MPI_Init(&argc, &argv);
  heat_grid_init(&grid);
  if (heat_options_read(argc, argv, grid.rank == 0, &options) == 0) {
    heat_part(options.size, grid.shape[0], grid.position[0], &row, &rows);
    heat_part(options.size, grid.shape[1], grid.position[1], &column, &columns);
    if (options.size < grid.shape[0] || options.size < grid.shape[1]) {
      if (grid.rank == 0) {
        fprintf(stderr, "heat: %lld x %lld cells are too few for %d x %d ranks\n",
                (long long)options.size, (long long)options.size, grid.shape[0], grid.shape[1]);
      }
    } else if (heat_block_init(&block, options.size, row, rows, column, columns) != 0) {
      fprintf(stderr, "heat: rank %d has no memory for %lld x %lld cells\n", grid.rank,
              (long long)rows, (long long)columns);
      MPI_Abort(MPI_COMM_WORLD, 1);
    } else {
      status = simulate(&options, &grid, &block) == 0 ? 0 : 1;
      heat_block_free(&block);
    }
  }
  heat_grid_free(&grid);
  MPI_Finalize();
  return status;
}
