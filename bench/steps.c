/* A rank of bench/back_pressure: one float64 array, as many steps as it is told, as fast as it may.
 *
 *   steps BYTES STEPS PACE
 *
 * BYTES of a chunk, whose elements all are 10 * timestep + rank; PACE: seconds that each step takes
 * to compute. Options come from DEISA_* variables. Prints {"begun": timestep} for each step, and in
 * the end the timesteps that were skipped and the counters as one line of JSON. */
#include <deisa/deisa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static deisa_error error;

static void check(deisa_status status) {
  if (status == DEISA_OK) return;
  fprintf(stderr, "steps: %s: %s\n", deisa_status_string(status), error.message);
  exit(1);
}

static void compute(double seconds) {
  struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&time, NULL);
}

static int number_of(const char* variable) {
  const char* text = getenv(variable);
  return text != NULL ? atoi(text) : 0;
}

int main(int argc, char** argv) {
  if (argc != 4) {
    fprintf(stderr, "steps BYTES STEPS PACE\n");
    return 2;
  }
  const int64_t count = atoll(argv[1]) / (int64_t)sizeof(double), steps = atoll(argv[2]);
  const double pace = atof(argv[3]);
  const int rank = number_of("DEISA_BRIDGE_ID"), size = number_of("DEISA_WORLD_SIZE");
  double* values = malloc((size_t)count * sizeof(double));
  char* skipped = calloc((size_t)steps + 1, 1);
  deisa_bridge* bridge = NULL;
  if (count < 1 || steps < 1 || size < 1 || values == NULL || skipped == NULL) return 2;

  const int64_t chunks[1] = {size}, position[1] = {rank};
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.ndim = 1;
  layout.chunk_shape = &count;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  check(deisa_open(NULL, &bridge, &error));
  check(deisa_define(bridge, "field", &layout, &error));
  check(deisa_ready(bridge, &error));
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("{\"ready\": %d}\n", rank);
  for (int64_t t = 0; t < steps; ++t) {
    compute(pace);
    for (int64_t i = 0; i < count; ++i) values[i] = 10.0 * (double)t + rank;
    const deisa_status status = deisa_begin_step(bridge, t, &error);
    printf("{\"begun\": %lld}\n", (long long)t);
    if (status == DEISA_SKIPPED) {
      skipped[t] = 1;
      continue;
    }
    check(status);
    check(deisa_put(bridge, "field", values, &error));
    check(deisa_end_step(bridge, NULL, &error));
  }
  deisa_statistics now = {.struct_size = sizeof(now)};
  check(deisa_get_statistics(bridge, &now, &error));
  printf("{\"rank\": %d, \"sent\": %lld, \"skipped\": %lld, \"blocked\": %.3f, \"left_out\": [",
         rank, (long long)now.steps_sent, (long long)now.steps_skipped, now.seconds_blocked);
  const char* comma = "";
  for (int64_t t = 0; t < steps; ++t) {
    if (!skipped[t]) continue;
    printf("%s%lld", comma, (long long)t);
    comma = ", ";
  }
  printf("]}\n");
  check(deisa_close(&bridge, steps, &error));
  free(skipped);
  free(values);
  return 0;
}
