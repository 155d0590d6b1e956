/* A simulation with MPI_THREAD_FUNNELED: only the thread that initialised MPI may call it, and every
 * call that the library makes while ranks wait for each other is looked at. */
#include <deisa/deisa.h>
#include <deisa/deisa_mpi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#pragma GCC visibility push(default) /* what the library finds instead of MPI's own */

enum { STEPS = 3 };

static pthread_t funnel;
static int calls;

static void look(const char* call) {
  ++calls;
  if (pthread_equal(pthread_self(), funnel)) return;
  printf("failed: %s in another thread\n", call);
  exit(1);
}

int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request* request) {
  look("MPI_Isend");
  return PMPI_Isend(data, count, type, to, tag, comm, request);
}

int MPI_Irecv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm,
              MPI_Request* request) {
  look("MPI_Irecv");
  return PMPI_Irecv(data, count, type, from, tag, comm, request);
}

int MPI_Ibcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm comm,
               MPI_Request* request) {
  look("MPI_Ibcast");
  return PMPI_Ibcast(data, count, type, root, comm, request);
}

int MPI_Iprobe(int from, int tag, MPI_Comm comm, int* there, MPI_Status* status) {
  look("MPI_Iprobe");
  return PMPI_Iprobe(from, tag, comm, there, status);
}

int MPI_Testsome(int count, MPI_Request requests[], int* done, int indices[],
                 MPI_Status statuses[]) {
  look("MPI_Testsome");
  return PMPI_Testsome(count, requests, done, indices, statuses);
}

static void check(const char* call, deisa_status status, const deisa_error* error) {
  if (status >= 0) return;
  printf("failed: %s: %s\n", call, error->message);
  exit(1);
}

/* So that the others wait in what comes next. */
static void come_late(int rank) {
  const struct timespec time = {0, 300000000};
  if (rank != 0) nanosleep(&time, NULL);
}

int main(int argc, char** argv) {
  int level = 0, rank = 0, size = 0;
  double chunk[4] = {0};
  deisa_error error;
  deisa_communicator communicator;
  deisa_options options = DEISA_OPTIONS_INIT;
  deisa_layout layout = DEISA_LAYOUT_INIT;
  deisa_bridge* bridge = NULL;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &level);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  funnel = pthread_self();
  check("mpi_open", deisa_mpi_open(MPI_COMM_WORLD, &communicator, &error), &error);
  options.communicator = &communicator;
  options.error_mode = DEISA_ERRORS_RETURN;
  check("open", deisa_open(&options, &bridge, &error), &error);
  const int64_t shape = 4, chunks = size, position = rank;
  layout.ndim = 1;
  layout.chunk_shape = &shape;
  layout.nb_chunks_per_dim = &chunks;
  layout.chunk_position = &position;
  check("define", deisa_define(bridge, "t", &layout, &error), &error);
  come_late(rank);
  check("ready", deisa_ready(bridge, &error), &error);
  for (int64_t step = 0; step < STEPS; ++step) {
    chunk[0] = (double)step;
    check("send", deisa_send(bridge, "t", chunk, step, &error), &error);
  }
  come_late(rank);
  check("close", deisa_close(&bridge, STEPS, &error), &error);
  MPI_Finalize();
  printf("rank %d: level %s, %s\n", rank, level == MPI_THREAD_FUNNELED ? "funneled" : "another",
         calls > 0 ? "done" : "no calls");
  return 0;
}
