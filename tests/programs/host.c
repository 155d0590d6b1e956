/* A simulation of one rank that puts a host program's habits and mistakes before the library:
 *
 *   host plain    sends three timesteps and closes
 *   host stack    the same, with 100 MiB of stack in use after deisa_ready
 *   host signals  the same, with its own handlers of SIGUSR2 and SIGPIPE, and such signals
 *   host misuse   the same, with calls that must be refused in between
 *
 * Prints what happened, a line each; ends with "done" and status 0 when all went as it must. */
#include <deisa/deisa.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 512, COLUMNS = 512, STEPS = 3 };

static double chunk[ROWS][COLUMNS];
static volatile sig_atomic_t caught_usr2, caught_pipe;

static void on_usr2(int number) {
  (void)number;
  caught_usr2 = caught_usr2 + 1;
}

static void on_pipe(int number) {
  (void)number;
  caught_pipe = caught_pipe + 1;
}

static void fail(const char* what) {
  printf("failed: %s\n", what);
  exit(1);
}

static void check(deisa_status status, const deisa_error* error) {
  if (status >= 0) return;
  printf("%s: %s\n", deisa_status_string(status), error->message);
  exit(1);
}

static void refused(const char* call, deisa_status status, deisa_status expected,
                    const deisa_error* error) {
  printf("%s: %s: %s\n", call, deisa_status_string(status), error->message);
  if (status != expected) fail(call);
}

/* Uses `mebibytes` of stack, all at once. */
static unsigned use_stack(int mebibytes) {
  volatile unsigned char frame[1 << 20];
  for (size_t i = 0; i < sizeof(frame); i += 1024) frame[i] = (unsigned char)mebibytes;
  const unsigned below = mebibytes > 1 ? use_stack(mebibytes - 1) : 0;
  return below + frame[1024];
}

static void install(int number, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  sigaction(number, &action, NULL);
}

static void check_handler(int number, void (*handler)(int), const char* when) {
  struct sigaction action;
  sigaction(number, NULL, &action);
  if ((action.sa_flags & SA_SIGINFO) != 0 || action.sa_handler != handler) fail(when);
}

/* Both signals arrive at this program's handlers: sent to the thread, to the process, and by a
 * pipe. */
static void signal_myself(const char* when) {
  int ends[2];
  check_handler(SIGUSR2, on_usr2, when);
  check_handler(SIGPIPE, on_pipe, when);
  caught_usr2 = caught_pipe = 0;
  raise(SIGUSR2);
  if (pipe(ends) != 0) fail("pipe");
  close(ends[0]);
  if (write(ends[1], "x", 1) >= 0) fail("a write to a closed pipe");
  close(ends[1]);
  if (caught_usr2 != 1 || caught_pipe != 1) fail(when);
  kill(getpid(), SIGUSR2); /* to any thread: the library's must not take it */
  for (int i = 0; i < 1000 && caught_usr2 != 2; ++i) usleep(1000);
  if (caught_usr2 != 2) fail(when);
  printf("signals %s: mine\n", when);
}

static void misuse(deisa_bridge* bridge, const deisa_layout* layout, int64_t step) {
  deisa_error error;
  refused("unknown array", deisa_send(bridge, "pressure", chunk, step, &error),
          DEISA_ERROR_CONTRACT, &error);
  refused("no memory", deisa_send(bridge, "temperature", NULL, step, &error), DEISA_ERROR_ARGUMENT,
          &error);
  refused("put without a step", deisa_put(bridge, "temperature", chunk, &error),
          DEISA_ERROR_CONTRACT, &error);
  refused("define after ready", deisa_define(bridge, "late", layout, &error), DEISA_ERROR_CONTRACT,
          &error);
  if (step > 0) {
    refused("the same timestep twice", deisa_send(bridge, "temperature", chunk, step - 1, &error),
            DEISA_ERROR_CONTRACT, &error);
    refused("an old end", deisa_close(&bridge, step - 2, &error), DEISA_ERROR_CONTRACT, &error);
  }
}

/* An Arrow array of `length` elements of `format` is refused unless both fit the chunk. */
static void nothing(struct ArrowArray* array) { array->release = NULL; }
static void nothing_too(struct ArrowSchema* schema) { schema->release = NULL; }

static void misuse_arrow(deisa_bridge* bridge, const char* what, const char* format,
                         int64_t length) {
  deisa_error error;
  const void* buffers[2] = {NULL, chunk};
  struct ArrowArray array = {
      .length = length, .n_buffers = 2, .buffers = buffers, .release = nothing};
  struct ArrowSchema schema = {.format = format, .name = "", .release = nothing_too};
  deisa_source source = DEISA_SOURCE_INIT;
  source.array = &array;
  source.schema = &schema;
  refused(what, deisa_send_from(bridge, "temperature", &source, 0, NULL, &error),
          DEISA_ERROR_CONTRACT, &error);
  if (array.release != NULL || schema.release != NULL) fail("an Arrow struct was not released");
}

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "plain";
  const int signals = strcmp(mode, "signals") == 0;
  const int64_t shape[2] = {ROWS, COLUMNS}, chunks[2] = {1, 1}, position[2] = {0, 0};
  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_layout layout = DEISA_LAYOUT_INIT;
  deisa_bridge* bridge = NULL;
  deisa_error error;

  setvbuf(stdout, NULL, _IONBF, 0);
  if (signals) {
    install(SIGUSR2, on_usr2);
    install(SIGPIPE, on_pipe);
    signal_myself("before");
  }
  options.error_mode = DEISA_ERRORS_RETURN;
  check(deisa_open(&options, &bridge, &error), &error);
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  check(deisa_define(bridge, "temperature", &layout, &error), &error);
  check(deisa_ready(bridge, &error), &error);
  printf("ready\n");

  if (strcmp(mode, "misuse") == 0) {
    misuse_arrow(bridge, "wrong dtype", "f", (int64_t)ROWS * COLUMNS);
    misuse_arrow(bridge, "wrong size", "g", (int64_t)ROWS * COLUMNS - 1);
  }
  for (int64_t step = 0; step < STEPS; ++step) {
    if (strcmp(mode, "stack") == 0) printf("100 MiB of stack: %u\n", use_stack(100));
    if (strcmp(mode, "misuse") == 0) misuse(bridge, &layout, step);
    if (signals) signal_myself("while ready");
    for (int i = 0; i < ROWS; ++i) {
      for (int j = 0; j < COLUMNS; ++j) chunk[i][j] = (double)(1000000 * step + COLUMNS * i + j);
    }
    check(deisa_send(bridge, "temperature", chunk, step, &error), &error);
  }
  check(deisa_close(&bridge, STEPS, &error), &error);
  if (signals) signal_myself("after the end");
  printf("done\n");
  return 0;
}
