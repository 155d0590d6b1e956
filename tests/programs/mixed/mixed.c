/* One rank of a simulation whose ranks are written in several languages: mixed RANK RANKS. The
 * ranks stand one below the other: each has ROWS rows of "field" and one element of "number".
 * test_mixed.py knows the values. */
#include <deisa/deisa.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 3, COLUMNS = 4, STEPS = 3 };

static void check(deisa_status status, const deisa_error* error) {
  if (status >= 0) return;
  fprintf(stderr, "mixed.c: %s\n", error->message);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int64_t rank = atoi(argv[1]), ranks = atoi(argv[2]);
  deisa_error error;
  deisa_bridge* bridge = NULL;
  deisa_options options = DEISA_OPTIONS_INIT;
  options.bridge_id = (int32_t)rank;
  options.world_size = (int32_t)ranks;
  check(deisa_open(&options, &bridge, &error), &error);

  const int64_t shape[2] = {ROWS, COLUMNS}, grid[2] = {ranks, 1}, position[2] = {rank, 0};
  const int64_t ghosts[2] = {1, 1}, one = 1;
  deisa_layout field = DEISA_LAYOUT_INIT;
  field.ndim = 2;
  field.chunk_shape = shape;
  field.nb_chunks_per_dim = grid;
  field.chunk_position = position;
  field.halo_before = field.halo_after = ghosts;
  check(deisa_define(bridge, "field", &field, &error), &error);
  deisa_layout number = DEISA_LAYOUT_INIT;
  number.dtype = DEISA_INT32;
  number.ndim = 1;
  number.chunk_shape = &one;
  number.nb_chunks_per_dim = &ranks;
  number.chunk_position = &rank;
  check(deisa_define(bridge, "number", &number, &error), &error);
  check(deisa_ready(bridge, &error), &error);

  double values[ROWS + 2][COLUMNS + 2];
  for (int step = 0; step < STEPS; ++step) {
    double gain = 1.0;
    deisa_get_options same_on_all = DEISA_GET_OPTIONS_INIT;
    same_on_all.collective = 1;
    check(deisa_get_double(bridge, "gain", &same_on_all, &gain, &error), &error);
    for (int i = 0; i < ROWS + 2; ++i) {
      for (int j = 0; j < COLUMNS + 2; ++j) {
        const int inside = i > 0 && i <= ROWS && j > 0 && j <= COLUMNS;
        values[i][j] =
            inside ? gain * (1000 * step + 10 * (double)(rank * ROWS + i - 1) + j - 1 + 0.25)
                   : -1.0;
      }
    }
    const int32_t mine = (int32_t)(100 * step + rank);
    check(deisa_begin_step(bridge, step, &error), &error);
    check(deisa_put(bridge, "field", values, &error), &error);
    check(deisa_put(bridge, "number", &mine, &error), &error);
    check(deisa_end_step(bridge, NULL, &error), &error);
  }
  check(deisa_close(&bridge, STEPS, &error), &error);
  printf("rank %d in C is done\n", (int)rank);
  return 0;
}
