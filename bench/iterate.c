/* A simulation of bench/compare's overhead-128MiB: a stencil, with or without sends.
 *
 *   iterate FOLDER ROWS
 *
 * ROWS, per rank, have 32 KiB each. Each block of iterations is asked for by a file FOLDER/block-0, FOLDER/block-1, ... which contains
 * "HOW ITERATIONS SWEEPS": HOW is copy or loan, the way in which each iteration sends its result,
 * or end. The first iteration of a block does not count: it brings the analytics to where they are
 * in a long run. Rank 0 prints {"counts": NUMBER} after it, and the times of the others, which are
 * those of all ranks within a sweep, as {"block": NUMBER, "seconds": [...]}. DEISA_DISABLE=1 makes
 * it the simulation alone. */
#include <deisa/deisa.h>
#include <deisa/deisa_mpi.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PROGRAM "iterate"
#include "simulation.h"
#include "stencil.h"

enum { COLUMNS = 4096, MAX_ITERATIONS = 1000 };

static int rank, size;
static int64_t rows;     /* of a rank */
static int64_t timestep; /* the next one */
static deisa_bridge* bridge;
static double *cells, *other, *field;
static void* loan;

static double* ones(size_t count) {
  double* found = malloc(count * COLUMNS * sizeof(double));
  if (!found) {
    stop("out of memory");
    return NULL;
  }
  for (size_t i = 0; i < count * COLUMNS; ++i) found[i] = 1;
  return found;
}

static void open_bridge(void) {
  const int64_t shape[2] = {rows, COLUMNS}, chunks[2] = {size, 1}, position[2] = {rank, 0};
  deisa_communicator communicator;
  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_layout layout = DEISA_LAYOUT_INIT;
  options.error_mode = DEISA_ERRORS_RETURN;
  check(deisa_mpi_open(MPI_COMM_WORLD, &communicator, &error));
  options.communicator = &communicator;
  check(deisa_open(&options, &bridge, &error));
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  check(deisa_define(bridge, "field", &layout, &error));
  check(deisa_ready(bridge, &error));
  check(deisa_loan(bridge, "field", &loan, NULL, &error));
}

/* What the analytics expect: every element is 10 * timestep + rank. */
static void iterate(int loans, int sweeps) {
  const double scale = (double)(10 * timestep + rank);
  stencil_run(MPI_Comm_c2f(MPI_COMM_WORLD), cells, other, loans ? loan : field, rows, COLUMNS,
              sweeps, scale);
  if (loans) {
    deisa_source source = DEISA_SOURCE_INIT;
    source.loan = &loan;
    check(deisa_send_from(bridge, "field", &source, timestep, NULL, &error));
  } else {
    check(deisa_send(bridge, "field", field, timestep, &error));
  }
  ++timestep;
}

static void run_block(int number, int loans, int iterations, int sweeps) {
  static double seconds[MAX_ITERATIONS];
  if (iterations < 1 || iterations > MAX_ITERATIONS) stop("too many iterations");
  MPI_Barrier(MPI_COMM_WORLD);
  iterate(loans, sweeps);
  if (rank == 0) {
    printf("{\"counts\": %d}\n", number);
    fflush(stdout);
  }
  double last = MPI_Wtime();
  for (int i = 0; i < iterations; ++i) {
    iterate(loans, sweeps);
    const double now = MPI_Wtime();
    seconds[i] = now - last;
    last = now;
  }
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank != 0) return;
  printf("{\"block\": %d, \"seconds\": [", number);
  for (int i = 0; i < iterations; ++i) printf("%s%.6f", i ? ", " : "", seconds[i]);
  printf("]}\n");
  fflush(stdout);
}

static void read_block(const char* folder, int number, char how[16], int* iterations, int* sweeps) {
  char path[512];
  snprintf(path, sizeof(path), "%s/block-%d", folder, number);
  wait_for(path, "nobody asked for the next block");
  FILE* file = fopen(path, "r");
  if (!file) {
    stop("the block cannot be read");
    return;
  }
  if (fscanf(file, "%15s %d %d", how, iterations, sweeps) != 3)
    stop("expected HOW ITERATIONS SWEEPS");
  fclose(file);
}

int main(int argc, char** argv) {
  char how[16] = "";
  int iterations = 0, sweeps = 0;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (argc != 3 || (rows = atoll(argv[2])) < 1) stop("expected FOLDER ROWS");
  cells = ones((size_t)rows + 2);
  other = ones((size_t)rows + 2);
  field = ones((size_t)rows);
  open_bridge();
  for (int number = 0;; ++number) {
    read_block(argv[1], number, how, &iterations, &sweeps);
    if (strcmp(how, "end") == 0) break;
    run_block(number, strcmp(how, "loan") == 0, iterations, sweeps);
  }
  check(deisa_close(&bridge, timestep, &error));
  free(cells);
  free(other);
  free(field);
  MPI_Finalize();
  return 0;
}
