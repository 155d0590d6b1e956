/* A simulation whose every value follows from rank, array, timestep and place, so that whoever
 * reads a chunk knows whether it is right. For tests that kill it.
 *
 *   formula [name=value]...
 *
 *   rank=R world=N   or mpi=1, then both come from MPI_COMM_WORLD
 *   array=0,2,3      an array of one chunk per listed rank, in this order; may be repeated
 *   cells=N          float64 values of a chunk (1024)
 *   steps=N          timesteps 0 ... N-1 (10)
 *   pace=S           seconds to wait before each timestep (0)
 *   step=1           begin_step, puts and end_step instead of one send per array
 *   skip=T           sends nothing of timestep T
 *   omit=I,T,U       sends nothing of array I from timestep T to U; may be repeated
 *   until=FILE       sends no further timestep once FILE exists
 *   hold=FILE        after the last timestep, waits until FILE exists; without it closes at once
 *   get=N            after every Nth timestep, reads the integer "newest"
 *   stop=1           leaves at the first report of a failure, with status 3
 *
 * Each line goes out in one write(): seconds of CLOCK_MONOTONIC, then
 *   ready | sent ARRAY TIMESTEP STATUS | skipped TIMESTEP | got TIMESTEP VALUE | held | closed STATUS | failed CALL STATUS MESSAGE |
 *   reported STATUS RANK TIMESTEP MESSAGE (from the exception handler) */
#include <deisa/deisa.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef FORMULA_MPI
#include <deisa/deisa_mpi.h>
#endif

enum { MAX_ARRAYS = 8, MAX_MEMBERS = 64, MAX_CELLS = 65536, MAX_OMITTED = 4 };

typedef struct array {
  char name[8];
  int members[MAX_MEMBERS];
  int count;
  int position; /* of this rank; -1: it has no chunk */
} array;

typedef struct settings {
  int rank, world, mpi, array_count, cells, in_steps, stop;
  int64_t steps, skip, get, omitted[MAX_OMITTED][3];
  int omitted_count;
  double pace;
  const char *hold, *until;
  array arrays[MAX_ARRAYS];
} settings;

static volatile int reported;

static void say(const char* format, ...) {
  char line[6000];
  struct timespec now;
  va_list arguments;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int length = snprintf(line, 64, "%.6f ", (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
  va_start(arguments, format);
  length += vsnprintf(line + length, sizeof(line) - 64 - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof(line) - 2) length = (int)sizeof(line) - 2;
  for (int i = 0; i < length; ++i) {
    if (line[i] == '\n') line[i] = ' ';
  }
  line[length++] = '\n';
  if (write(STDOUT_FILENO, line, (size_t)length) != length) _exit(9);
}

static void on_failure(void* user_data, const deisa_error* error) {
  (void)user_data;
  reported = 1;
  say("reported %d %d %" PRId64 " %s", (int)error->status, (int)error->rank, error->timestep,
      error->message);
}

static void check(const char* call, deisa_status status, const deisa_error* error) {
  if (status >= 0) return;
  say("failed %s %d %s", call, (int)status, error->message);
  exit(2);
}

static void wait_seconds(double seconds) {
  const struct timespec time = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
  nanosleep(&time, NULL);
}

static void read_array(settings* all, const char* text) {
  if (all->array_count == MAX_ARRAYS) exit(4);
  array* one = &all->arrays[all->array_count];
  snprintf(one->name, sizeof(one->name), "a%d", all->array_count++);
  while (one->count < MAX_MEMBERS) {
    char* end = NULL;
    one->members[one->count++] = (int)strtol(text, &end, 10);
    if (*end != ',') break;
    text = end + 1;
  }
}

static void read_omitted(settings* all, const char* text) {
  if (all->omitted_count == MAX_OMITTED) exit(4);
  int64_t* one = all->omitted[all->omitted_count++];
  if (sscanf(text, "%" SCNd64 ",%" SCNd64 ",%" SCNd64, &one[0], &one[1], &one[2]) != 3) exit(4);
}

static int sends(const settings* all, int which, int64_t timestep) {
  for (int i = 0; i < all->omitted_count; ++i) {
    const int64_t* one = all->omitted[i];
    if (one[0] == which && one[1] <= timestep && timestep <= one[2]) return 0;
  }
  return all->arrays[which].position >= 0;
}

static void read_settings(int argc, char** argv, settings* all) {
  memset(all, 0, sizeof(*all));
  all->world = 1;
  all->cells = 1024;
  all->steps = 10;
  all->skip = -1;
  for (int i = 1; i < argc; ++i) {
    const char* value = strchr(argv[i], '=');
    if (value == NULL) exit(4);
    const size_t length = (size_t)(value++ - argv[i]);
#define IS(name) (length == strlen(name) && strncmp(argv[i], name, length) == 0)
    if (IS("rank")) {
      all->rank = atoi(value);
    } else if (IS("world")) {
      all->world = atoi(value);
    } else if (IS("mpi")) {
      all->mpi = atoi(value);
    } else if (IS("array")) {
      read_array(all, value);
    } else if (IS("cells")) {
      all->cells = atoi(value);
    } else if (IS("steps")) {
      all->steps = atoll(value);
    } else if (IS("pace")) {
      all->pace = atof(value);
    } else if (IS("step")) {
      all->in_steps = atoi(value);
    } else if (IS("skip")) {
      all->skip = atoll(value);
    } else if (IS("omit")) {
      read_omitted(all, value);
    } else if (IS("until")) {
      all->until = value;
    } else if (IS("hold")) {
      all->hold = value;
    } else if (IS("get")) {
      all->get = atoll(value);
    } else if (IS("stop")) {
      all->stop = atoi(value);
    } else {
      exit(4);
    }
#undef IS
  }
  if (all->cells < 1 || all->cells > MAX_CELLS) exit(4);
}

/* Exact in float64; formula_analytics.py computes the same. */
static void fill(const settings* all, int which, int64_t timestep, double* chunk) {
  const double base = ((which * 64.0 + all->rank) * 4096.0 + (double)timestep) * 65536.0;
  for (int i = 0; i < all->cells; ++i) chunk[i] = base + i;
}

static void define_arrays(deisa_bridge* bridge, settings* all) {
  for (int i = 0; i < all->array_count; ++i) {
    array* one = &all->arrays[i];
    one->position = -1;
    for (int k = 0; k < one->count; ++k) {
      if (one->members[k] == all->rank) one->position = k;
    }
    if (one->position < 0) continue;
    const int64_t shape = all->cells, chunks = one->count, position = one->position;
    deisa_error error;
    deisa_layout layout = DEISA_LAYOUT_INIT;
    layout.ndim = 1;
    layout.chunk_shape = &shape;
    layout.nb_chunks_per_dim = &chunks;
    layout.chunk_position = &position;
    check("define", deisa_define(bridge, one->name, &layout, &error), &error);
  }
}

static void send_timestep(deisa_bridge* bridge, const settings* all, int64_t timestep,
                          double* chunk) {
  deisa_error error;
  if (all->in_steps) {
    const deisa_status begun = deisa_begin_step(bridge, timestep, &error);
    check("begin_step", begun, &error);
    if (begun == DEISA_SKIPPED) {
      say("skipped %" PRId64, timestep);
      return;
    }
  }
  for (int i = 0; i < all->array_count; ++i) {
    const char* name = all->arrays[i].name;
    if (!sends(all, i, timestep)) continue;
    fill(all, i, timestep, chunk);
    if (all->in_steps) {
      check("put", deisa_put(bridge, name, chunk, &error), &error);
      continue;
    }
    const deisa_status status = deisa_send(bridge, name, chunk, timestep, &error);
    check("send", status, &error);
    say("sent %d %" PRId64 " %d", i, timestep, (int)status);
  }
  if (!all->in_steps) return;
  const deisa_status status = deisa_end_step(bridge, NULL, &error);
  check("end_step", status, &error);
  for (int i = 0; i < all->array_count; ++i) {
    if (sends(all, i, timestep)) say("sent %d %" PRId64 " %d", i, timestep, (int)status);
  }
}

static void read_feedback(deisa_bridge* bridge, int64_t timestep) {
  deisa_error error;
  int64_t newest = -1;
  check("get", deisa_get_int64(bridge, "newest", NULL, &newest, &error), &error);
  say("got %" PRId64 " %" PRId64, timestep, newest);
}

static int simulate(settings* all, const deisa_communicator* communicator) {
  static double chunk[MAX_CELLS];
  deisa_error error;
  deisa_bridge* bridge = NULL;
  deisa_options options = DEISA_OPTIONS_INIT;
  options.bridge_id = all->rank;
  options.world_size = all->world;
  options.communicator = communicator;
  options.error_handler = on_failure;
  check("open", deisa_open(&options, &bridge, &error), &error);
  define_arrays(bridge, all);
  check("ready", deisa_ready(bridge, &error), &error);
  if (reported) return 3; /* deisa_ready failed, and said why */
  say("ready");

  for (int64_t timestep = 0; timestep < all->steps; ++timestep) {
    if (all->pace > 0.0) wait_seconds(all->pace);
    if (all->until != NULL && access(all->until, F_OK) == 0) break;
    if (timestep == all->skip) continue;
    send_timestep(bridge, all, timestep, chunk);
    if (all->get > 0 && timestep % all->get == 0) read_feedback(bridge, timestep);
    if (reported && all->stop) {
      deisa_abandon(&bridge);
      return 3;
    }
  }
  if (all->hold != NULL) {
    say("held");
    while (access(all->hold, F_OK) != 0) wait_seconds(0.01);
  }
  const deisa_status status = deisa_close(&bridge, all->steps, &error);
  check("close", status, &error);
  say("closed %d", (int)status);
  return 0;
}

int main(int argc, char** argv) {
  static settings all;
  int status = 0;
  read_settings(argc, argv, &all);
#ifdef FORMULA_MPI
  if (all.mpi) {
    deisa_error error;
    deisa_communicator communicator;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &all.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &all.world);
    check("mpi_open", deisa_mpi_open(MPI_COMM_WORLD, &communicator, &error), &error);
    status = simulate(&all, &communicator);
    MPI_Finalize();
    return status;
  }
#endif
  status = simulate(&all, NULL);
  return status;
}
