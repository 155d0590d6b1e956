/* One side of bench/baseline: each rank sends a chunk of CELLS x CELLS float64 per timestep, and
 * prints its figures as one line of JSON. send.py is the other side, with deisa-ray's Python
 * bridge.
 *
 *   send CELLS STEPS PACE */
#include <deisa/deisa.h>
#include <deisa/deisa_mpi.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check(deisa_status status, const deisa_error* error) {
  if (status == DEISA_OK) return;
  fprintf(stderr, "send: %s: %s\n", deisa_status_string(status), error->message);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Resident memory of this process in KiB, from /proc. */
static long resident_kib(void) {
  char line[256];
  long kib = -1;
  FILE* file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof(line), file)) {
    if (strncmp(line, "VmRSS:", 6) == 0) kib = atol(line + 6);
  }
  if (file) fclose(file);
  return kib;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  if (argc != 4) MPI_Abort(MPI_COMM_WORLD, 2);
  const int64_t cells = atoll(argv[1]), steps = atoll(argv[2]);
  const double pace = atof(argv[3]);
  const struct timespec pause = {(time_t)pace, (long)((pace - (double)(time_t)pace) * 1e9)};
  int rank, size;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const int64_t shape[2] = {cells, cells}, chunks[2] = {size, 1}, position[2] = {rank, 0};
  double* chunk = malloc((size_t)(cells * cells) * sizeof(double));
  double* seconds = malloc((size_t)steps * sizeof(double));
  if (!chunk || !seconds) MPI_Abort(MPI_COMM_WORLD, 3);

  deisa_error error;
  deisa_communicator communicator;
  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_bridge* bridge = NULL;
  const double start = MPI_Wtime();
  options.error_mode = DEISA_ERRORS_RAISE;
  check(deisa_mpi_open(MPI_COMM_WORLD, &communicator, &error), &error);
  options.communicator = &communicator;
  check(deisa_open(&options, &bridge, &error), &error);
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  check(deisa_define(bridge, "temperature", &layout, &error), &error);
  check(deisa_ready(bridge, &error), &error);
  const double start_up = MPI_Wtime() - start;

  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t i = 0; i < cells * cells; ++i) chunk[i] = (double)(10 * step + rank);
    nanosleep(&pause, NULL);
    MPI_Barrier(MPI_COMM_WORLD);
    const double begin = MPI_Wtime();
    check(deisa_send(bridge, "temperature", chunk, step, &error), &error);
    seconds[step] = MPI_Wtime() - begin;
  }
  const long kib = resident_kib();
  check(deisa_close(&bridge, steps, &error), &error);

  for (int turn = 0; turn < size; ++turn) {
    if (turn == rank) {
      printf("{\"rank\": %d, \"start\": %.4f, \"resident_kib\": %ld, \"send\": [", rank, start_up,
             kib);
      for (int64_t step = 0; step < steps; ++step)
        printf("%s%.7f", step ? ", " : "", seconds[step]);
      printf("]}\n");
      fflush(stdout);
    }
    MPI_Barrier(MPI_COMM_WORLD);
  }
  free(chunk);
  free(seconds);
  MPI_Finalize();
  return 0;
}
