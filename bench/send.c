/* One side of bench/compare: each rank sends float64 chunks, phase by phase, and writes what it
 * measured to FOLDER/rank-N.json. send.py is the other side, with deisa-ray's Python bridge.
 *
 *   send LEVEL PACE FOLDER PHASE...
 *
 * LEVEL is received, stored or announced; PACE the seconds before each send, as if a solver ran,
 * and five times as much where chunks are large, so that the analytics of the last one have ended.
 * A PHASE is ARRAY:BYTES:STEPS:HOW, with HOW one of
 *
 * - send: blocking sends, each timed
 * - copy: the same, and a memcpy of the same bytes after each, timed as well
 * - trip: the same, and a bare round trip to another process after each, timed as well
 * - loan: blocking sends of a loan, each timed; and, with as much computed before, blocking
 *   sends of 4 KiB of the array "small", timed as well
 * - get: the same, and what is timed is the reading of one feedback value after each
 * - rate: blocking sends without a pause, timed together, until all have been announced; the time
 *   includes that of writing the chunks
 * - stream: asynchronous sends of one chunk without a pause, timed together, until all have reached
 *   LEVEL
 * - lean: the same from loans
 * - eight: eight arrays ARRAY0 ... ARRAY7, in turn by eight sends and in one step, each timed
 *
 * FOLDER is where the ranks meet bench/compare: they say {"mark": "sent"} and wait for
 * FOLDER/close, close their bridges, and wait for FOLDER/end. */
#include <deisa/deisa.h>
#include <deisa/deisa_mpi.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "send"
#include "simulation.h"
#include "trip.h"

enum { MAX_PHASES = 32, EIGHT = 8, SMALL = 4096, LARGE = 16 << 20 };

typedef struct phase {
  char array[64];
  char how[16];
  size_t bytes;
  int64_t steps;
  double* seconds; /* what HOW times, `steps` of them */
  double* other;   /* what it is compared with, or 0 */
  double* begun;   /* when each send was called, in seconds of the monotonic clock, or 0 */
  int64_t first;   /* its first timestep */
} phase;

static int rank, size;
static int trip; /* socket to the other process */
static double pace;
static int64_t timestep; /* the next one */
static deisa_bridge* bridge;

static void* memory(size_t bytes) {
  void* found = malloc(bytes);
  if (!found) stop("out of memory");
  return found;
}

static phase read_phase(const char* text) {
  phase one = {{0}, {0}, 0, 0, NULL, NULL, NULL, 0};
  long long steps = 0;
  if (sscanf(text, "%63[^:]:%zu:%lld:%15s", one.array, &one.bytes, &steps, one.how) != 4 ||
      one.bytes < sizeof(double) || steps < 1) {
    stop("expected ARRAY:BYTES:STEPS:HOW");
  }
  one.steps = steps;
  one.seconds = memory((size_t)steps * sizeof(double));
  one.other = memory((size_t)steps * sizeof(double));
  one.begun = memory((size_t)steps * sizeof(double));
  memset(one.seconds, 0, (size_t)steps * sizeof(double));
  memset(one.other, 0, (size_t)steps * sizeof(double));
  memset(one.begun, 0, (size_t)steps * sizeof(double));
  return one;
}

static void define(const char* name, size_t bytes) {
  const int64_t shape[1] = {(int64_t)(bytes / sizeof(double))}, chunks[1] = {size};
  const int64_t position[1] = {rank};
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.ndim = 1;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  check(deisa_define(bridge, name, &layout, &error));
}

/* Of eight arrays: the name of one. */
static const char* numbered(const char* array, int number) {
  static char name[80];
  snprintf(name, sizeof(name), "%.63s%d", array, number % EIGHT);
  return name;
}

static void define_all(const phase* phases, int count) {
  for (int i = 0; i < count; ++i) {
    int known = 0;
    for (int j = 0; j < i; ++j) known |= strcmp(phases[j].array, phases[i].array) == 0;
    if (known) continue;
    if (strcmp(phases[i].how, "eight") != 0) {
      define(phases[i].array, phases[i].bytes);
      continue;
    }
    for (int j = 0; j < EIGHT; ++j) define(numbered(phases[i].array, j), phases[i].bytes);
  }
}

/* What the analytics expect: every element is 10 * timestep + rank. */
static void fill(double* chunk, size_t bytes) {
  for (size_t i = 0; i < bytes / sizeof(double); ++i) chunk[i] = (double)(10 * timestep + rank);
}

/* The clock of Python's time.monotonic(). */
static double monotonic(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The rest of a timestep in a simulation; then all ranks begin at once. Nothing is under way. */
static double begin(const phase* one) {
  const double wait = one->bytes >= LARGE ? 5 * pace : pace;
  const struct timespec pause = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
  check(deisa_flush(bridge, &error));
  nanosleep(&pause, NULL);
  MPI_Barrier(MPI_COMM_WORLD);
  return MPI_Wtime();
}

static void run_sends(phase* one) {
  double* chunk = memory(one->bytes);
  const int trips = strcmp(one->how, "trip") == 0, gets = strcmp(one->how, "get") == 0;
  double* copy = strcmp(one->how, "copy") == 0 ? memory(one->bytes) : NULL;
  if (copy) memset(copy, 1, one->bytes);
  for (int64_t i = 0; i < one->steps; ++i, ++timestep) {
    fill(chunk, one->bytes);
    double start = begin(one);
    one->begun[i] = monotonic();
    check(deisa_send(bridge, one->array, chunk, timestep, &error));
    one->seconds[i] = MPI_Wtime() - start;
    if (gets) {
      double value = 0;
      start = MPI_Wtime();
      const deisa_status status = deisa_get_double(bridge, "gain", NULL, &value, &error);
      one->seconds[i] = MPI_Wtime() - start;
      if (status != DEISA_NOT_FOUND) check(status);
    }
    if (!copy && !trips) continue;
    start = begin(one);
    if (trips && trip_once(trip) != 0) stop("the other process does not answer");
    if (copy) memcpy(copy, chunk, one->bytes);
    one->other[i] = MPI_Wtime() - start;
    if (copy) chunk[0] += copy[one->bytes / sizeof(double) - 1]; /* so that it is not left out */
  }
  free(copy);
  free(chunk);
}

static void run_loan(phase* one) {
  void* buffer = NULL;
  deisa_source source = DEISA_SOURCE_INIT;
  source.loan = &buffer;
  double* chunk = memory(SMALL);
  check(deisa_loan(bridge, one->array, &buffer, NULL, &error));
  for (int64_t i = 0; i < one->steps; ++i) {
    fill(buffer, one->bytes);
    double start = begin(one);
    check(deisa_send_from(bridge, one->array, &source, timestep, NULL, &error));
    one->seconds[i] = MPI_Wtime() - start;
    ++timestep;
    fill(chunk, SMALL);
    fill(buffer, one->bytes);
    start = begin(one);
    check(deisa_send(bridge, "small", chunk, timestep, &error));
    one->other[i] = MPI_Wtime() - start;
    ++timestep;
  }
  free(chunk);
}

static void run_rate(phase* one) {
  double* chunk = memory(one->bytes);
  fill(chunk, one->bytes); /* touches its pages */
  const double start = begin(one);
  one->begun[0] = monotonic();
  for (int64_t i = 0; i < one->steps; ++i, ++timestep) {
    fill(chunk, one->bytes);
    check(deisa_send(bridge, one->array, chunk, timestep, &error));
  }
  check(deisa_flush(bridge, &error));
  MPI_Barrier(MPI_COMM_WORLD);
  one->seconds[0] = MPI_Wtime() - start;
  free(chunk);
}

static void run_stream(phase* one) {
  deisa_request* requests = memory((size_t)one->steps * sizeof(deisa_request));
  const int loaned = strcmp(one->how, "lean") == 0;
  void* chunk = NULL;
  deisa_source source = DEISA_SOURCE_INIT;
  if (loaned) {
    check(deisa_loan(bridge, one->array, &chunk, NULL, &error));
  } else {
    chunk = memory(one->bytes);
  }
  if (loaned) {
    source.loan = &chunk;
  } else {
    source.data = chunk;
  }
  fill(chunk, one->bytes);
  const double start = begin(one);
  for (int64_t i = 0; i < one->steps; ++i, ++timestep) {
    check(deisa_send_from(bridge, one->array, &source, timestep, &requests[i], &error));
  }
  for (int64_t i = 0; i < one->steps; ++i) check(deisa_wait(bridge, &requests[i], &error));
  MPI_Barrier(MPI_COMM_WORLD);
  one->seconds[0] = MPI_Wtime() - start;
  if (!loaned) free(chunk);
  free(requests);
}

static void run_eight(phase* one) {
  double* chunk = memory(one->bytes);
  for (int64_t i = 0; i < one->steps; ++i) {
    fill(chunk, one->bytes);
    double start = begin(one);
    for (int j = 0; j < EIGHT; ++j)
      check(deisa_send(bridge, numbered(one->array, j), chunk, timestep, &error));
    one->other[i] = MPI_Wtime() - start;
    ++timestep;
    fill(chunk, one->bytes);
    start = begin(one);
    check(deisa_begin_step(bridge, timestep, &error));
    for (int j = 0; j < EIGHT; ++j)
      check(deisa_put(bridge, numbered(one->array, j), chunk, &error));
    check(deisa_end_step(bridge, NULL, &error));
    one->seconds[i] = MPI_Wtime() - start;
    ++timestep;
  }
  free(chunk);
}

static void run(phase* one) {
  one->first = timestep;
  if (strcmp(one->how, "send") == 0 || strcmp(one->how, "copy") == 0 ||
      strcmp(one->how, "trip") == 0 || strcmp(one->how, "get") == 0) {
    run_sends(one);
  } else if (strcmp(one->how, "loan") == 0) {
    run_loan(one);
  } else if (strcmp(one->how, "rate") == 0) {
    run_rate(one);
  } else if (strcmp(one->how, "stream") == 0 || strcmp(one->how, "lean") == 0) {
    run_stream(one);
  } else if (strcmp(one->how, "eight") == 0) {
    run_eight(one);
  } else {
    stop("HOW is not one that is known");
  }
}

static void mark(const char* name) {
  MPI_Barrier(MPI_COMM_WORLD);
  if (rank == 0) {
    printf("{\"mark\": \"%s\"}\n", name);
    fflush(stdout);
  }
}

static void wait_in(const char* folder, const char* name) {
  char path[512];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  wait_for(path, "nobody asked for the end");
}

static void write_list(FILE* file, const char* name, const double* values, int64_t count) {
  fprintf(file, "\"%s\": [", name);
  for (int64_t i = 0; i < count; ++i) fprintf(file, "%s%.7f", i ? ", " : "", values[i]);
  fprintf(file, "]");
}

/* Not to standard output: mpirun forwards longer lines of several ranks in pieces. */
static void write_figures(const char* folder, const phase* phases, int count, double start_up) {
  char path[512];
  snprintf(path, sizeof(path), "%s/rank-%d.json", folder, rank);
  FILE* file = fopen(path, "w");
  if (!file) stop("the file of the figures cannot be made");
  fprintf(file, "{\"pid\": %d, \"start\": %.4f, \"load\": 0, \"phases\": [", (int)getpid(),
          start_up);
  for (int i = 0; i < count; ++i) {
    fprintf(file, "%s{\"array\": \"%s\", \"bytes\": %zu, \"how\": \"%s\", \"first\": %lld, ",
            i ? ", " : "", phases[i].array, phases[i].bytes, phases[i].how,
            (long long)phases[i].first);
    write_list(file, "seconds", phases[i].seconds, phases[i].steps);
    fprintf(file, ", ");
    write_list(file, "other", phases[i].other, phases[i].steps);
    fprintf(file, ", ");
    write_list(file, "begun", phases[i].begun, phases[i].steps);
    fprintf(file, "}");
  }
  fprintf(file, "]}\n");
  if (fclose(file) != 0) stop("the file of the figures cannot be written");
}

static deisa_acknowledge level_of(const char* name) {
  if (strcmp(name, "received") == 0) return DEISA_ACK_RECEIVED;
  if (strcmp(name, "stored") == 0) return DEISA_ACK_STORED;
  if (strcmp(name, "announced") != 0) stop("LEVEL is received, stored or announced");
  return DEISA_ACK_ANNOUNCED;
}

int main(int argc, char** argv) {
  trip = trip_start();
  if (trip < 0) return 3;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  const int count = argc - 4;
  if (count < 1 || count > MAX_PHASES) stop("expected LEVEL PACE FOLDER PHASE...");
  const deisa_acknowledge level = level_of(argv[1]);
  pace = atof(argv[2]);
  const char* folder = argv[3];
  phase phases[MAX_PHASES];
  for (int i = 0; i < count; ++i) phases[i] = read_phase(argv[4 + i]);

  MPI_Barrier(MPI_COMM_WORLD);
  const double start = MPI_Wtime();
  deisa_communicator communicator;
  deisa_options options = DEISA_OPTIONS_INIT;
  options.error_mode = DEISA_ERRORS_RETURN;
  options.acknowledge = level;
  check(deisa_mpi_open(MPI_COMM_WORLD, &communicator, &error));
  options.communicator = &communicator;
  check(deisa_open(&options, &bridge, &error));
  define_all(phases, count);
  check(deisa_ready(bridge, &error));
  const double start_up = MPI_Wtime() - start;

  mark("ready");
  for (int i = 0; i < count; ++i) run(&phases[i]);
  check(deisa_flush(bridge, &error));
  write_figures(folder, phases, count, start_up);
  mark("sent");
  wait_in(folder, "close");
  check(deisa_close(&bridge, timestep, &error));
  wait_in(folder, "end");
  MPI_Finalize();
  return 0;
}
