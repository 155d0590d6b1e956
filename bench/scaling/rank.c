/* One rank of bench/scale: sends STEPS timesteps of BYTES bytes, prints its figures as one line of
 * JSON, and stays until its input ends, so that its memory can be read from /proc meanwhile. Rank,
 * world size and port come from DEISA_BRIDGE_ID, DEISA_WORLD_SIZE and DEISA_MASTER_PORT.
 *
 * It prints "ready" when it is, and begins to send when it reads a line.
 *
 *   scale_rank BYTES STEPS received|announced */
#include <deisa/deisa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void check(deisa_status status, const deisa_error* error) {
  if (status == DEISA_OK) return;
  fprintf(stderr, "scale_rank: %s: %s\n", deisa_status_string(status), error->message);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const char* rank_text = getenv("DEISA_BRIDGE_ID");
  const char* size_text = getenv("DEISA_WORLD_SIZE");
  if (!rank_text || !size_text) return 2;
  const int rank = atoi(rank_text), size = atoi(size_text);
  const int64_t cells = atoll(argv[1]) / (int64_t)sizeof(double), steps = atoll(argv[2]);
  double* chunk = malloc((size_t)cells * sizeof(double));
  double* seconds = malloc((size_t)steps * sizeof(double));
  if (!chunk || !seconds) return 3;

  deisa_error error;
  deisa_options options = DEISA_OPTIONS_INIT;
  options.error_mode = DEISA_ERRORS_RETURN;
  options.acknowledge =
      strcmp(argv[3], "announced") == 0 ? DEISA_ACK_ANNOUNCED : DEISA_ACK_RECEIVED;
  deisa_bridge* bridge = NULL;
  const double opened = now();
  check(deisa_open(&options, &bridge, &error), &error);
  const int64_t shape[1] = {cells}, chunks[1] = {size}, position[1] = {rank};
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.ndim = 1;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  check(deisa_define(bridge, "field", &layout, &error), &error);
  check(deisa_ready(bridge, &error), &error);
  printf("ready\n");
  fflush(stdout);
  if (getchar() == EOF) return 4;
  const double ready = now();
  double last = ready;
  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t i = 0; i < cells; ++i) chunk[i] = (double)(1000 * step + rank);
    const double begin = last = now();
    check(deisa_send(bridge, "field", chunk, step, &error), &error);
    seconds[step] = now() - begin;
  }
  check(deisa_flush(bridge, &error), &error);
  const double flushed = now();

  printf(
      "{\"rank\": %d, \"opened\": %.6f, \"ready\": %.6f, \"last\": %.6f, \"flushed\": %.6f, "
      "\"send\": [",
      rank, opened, ready, last, flushed);
  for (int64_t step = 0; step < steps; ++step) printf("%s%.7f", step ? ", " : "", seconds[step]);
  printf("]}\n");
  fflush(stdout);
  while (getchar() != EOF) continue;
  check(deisa_close(&bridge, steps, &error), &error);
  free(chunk);
  free(seconds);
  return 0;
}
