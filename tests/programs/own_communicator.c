/* Ranks as processes of one program, which meet through a communicator of its own: socket pairs
 * with rank 0.
 *
 *   own_communicator RANKS
 *
 * Each rank sends three timesteps of its row of the array "rows", and closes. Prints "done" when
 * all did. */
#include <deisa/deisa.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RANKS = 16, COLUMNS = 5, STEPS = 3 };

typedef struct star {
  int rank, size;
  int peer[MAX_RANKS]; /* on rank 0: a socket per rank; elsewhere [0]: to rank 0 */
  int released;
} star;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static deisa_status fail(deisa_error* error, deisa_status status, int peer, const char* what) {
  if (error != NULL) {
    error->status = status;
    snprintf(error->message, sizeof(error->message), "rank %d %s", peer, what);
  }
  return status;
}

/* Moves `bytes` bytes to or from `peer` before `deadline`. */
static deisa_status move(const star* self, int peer, void* data, size_t bytes, short direction,
                         double deadline, deisa_error* error) {
  const int socket = self->peer[peer];
  char* at = data;
  while (bytes > 0) {
    struct pollfd entry = {.fd = socket, .events = direction, .revents = 0};
    const double left = deadline - now();
    if (left <= 0 || poll(&entry, 1, (int)(left * 1e3) + 1) <= 0) {
      return fail(error, DEISA_ERROR_TIMEOUT, peer, "did not come in time");
    }
    const ssize_t moved = direction == POLLIN
                              ? recv(socket, at, bytes, 0)
                              : send(socket, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (moved <= 0) return fail(error, DEISA_ERROR_COMMUNICATOR, peer, "is gone");
    at += moved;
    bytes -= (size_t)moved;
  }
  return DEISA_OK;
}

static int32_t get_rank(void* self) { return ((star*)self)->rank; }
static int32_t get_size(void* self) { return ((star*)self)->size; }

static deisa_status gather(void* self, const void* sent, size_t bytes, void* received, int32_t root,
                           double timeout, deisa_error* error) {
  star* me = self;
  const double deadline = now() + timeout;
  deisa_status status = DEISA_OK;
  if (root != 0) return fail(error, DEISA_ERROR_UNSUPPORTED, root, "cannot be root");
  if (me->rank != 0) return move(me, 0, (void*)(size_t)sent, bytes, POLLOUT, deadline, error);
  memcpy(received, sent, bytes);
  for (int rank = 1; rank < me->size && status == DEISA_OK; ++rank) {
    char* place = (char*)received + (size_t)rank * bytes;
    status = move(me, rank, place, bytes, POLLIN, deadline, error);
  }
  return status;
}

static deisa_status broadcast(void* self, void* data, size_t bytes, int32_t root, double timeout,
                              deisa_error* error) {
  star* me = self;
  const double deadline = now() + timeout;
  deisa_status status = DEISA_OK;
  if (root != 0) return fail(error, DEISA_ERROR_UNSUPPORTED, root, "cannot be root");
  if (me->rank != 0) return move(me, 0, data, bytes, POLLIN, deadline, error);
  for (int rank = 1; rank < me->size && status == DEISA_OK; ++rank) {
    status = move(me, rank, data, bytes, POLLOUT, deadline, error);
  }
  return status;
}

static deisa_status barrier(void* self, double timeout, deisa_error* error) {
  char token = 0, all[MAX_RANKS];
  const deisa_status status = gather(self, &token, 1, all, 0, timeout, error);
  return status == DEISA_OK ? broadcast(self, &token, 1, 0, timeout, error) : status;
}

static void release(void* self) { ((star*)self)->released += 1; }

static int check(const char* call, int rank, deisa_status status, const deisa_error* error) {
  if (status == DEISA_OK) return 0;
  printf("rank %d: %s: %s: %s\n", rank, call, deisa_status_string(status), error->message);
  return 1;
}

static int simulate(star* self) {
  const int64_t shape[2] = {1, COLUMNS}, grid[2] = {self->size, 1}, position[2] = {self->rank, 0};
  const deisa_communicator communicator = {.struct_size = sizeof(communicator),
                                           .self = self,
                                           .rank = get_rank,
                                           .size = get_size,
                                           .barrier = barrier,
                                           .gather = gather,
                                           .broadcast = broadcast,
                                           .release = release};
  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_layout layout = DEISA_LAYOUT_INIT;
  deisa_bridge* bridge = NULL;
  deisa_error error;
  int failed = 0;
  options.communicator = &communicator;
  options.error_mode = DEISA_ERRORS_RETURN;
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = grid;
  layout.chunk_position = position;
  failed |= check("open", self->rank, deisa_open(&options, &bridge, &error), &error);
  failed |= check("define", self->rank, deisa_define(bridge, "rows", &layout, &error), &error);
  failed |= check("ready", self->rank, deisa_ready(bridge, &error), &error);
  for (int step = 0; step < STEPS && !failed; ++step) {
    double row[COLUMNS];
    for (int i = 0; i < COLUMNS; ++i) row[i] = 100.0 * step + 10.0 * self->rank + i;
    failed |= check("send", self->rank, deisa_send(bridge, "rows", row, step, &error), &error);
  }
  failed |= check("close", self->rank, deisa_close(&bridge, STEPS, &error), &error);
  if (self->released != 1) {
    printf("rank %d: the communicator was released %d times\n", self->rank, self->released);
    failed = 1;
  }
  return failed;
}

int main(int argc, char** argv) {
  const int size = argc > 1 ? atoi(argv[1]) : 3;
  star self = {.rank = 0, .size = size};
  int failed = 0;
  if (size < 1 || size > MAX_RANKS) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int rank = 1; rank < size; ++rank) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 2;
    const pid_t child = fork();
    if (child < 0) return 2;
    if (child == 0) {
      for (int other = 1; other < rank; ++other) close(self.peer[other]);
      close(pair[0]);
      self.rank = rank;
      self.peer[0] = pair[1];
      return simulate(&self);
    }
    close(pair[1]);
    self.peer[rank] = pair[0];
  }
  failed = simulate(&self);
  for (int rank = 1; rank < size; ++rank) {
    int status = 0;
    wait(&status);
    failed |= status;
  }
  if (!failed) printf("done\n");
  return failed ? 1 : 0;
}
