// A simulation of some MPI ranks side by side, each with ghost cells around its chunk.
#include <deisa/deisa_gloo.h>
#include <deisa/deisa_mpi.h>
#include <mpi.h>

#include <cstdio>
#include <deisa/deisa.hpp>
#include <vector>

namespace {

// Programs that meet by Gloo link it. Here it only has to refuse a rank.
bool has_gloo() {
  try {
    deisa::Communicator::open(deisa_gloo_open, -1, 1, "localhost", 29400, 1.0);
    return false;
  } catch (const deisa::ArgumentError&) {
    return true;
  }
}

void simulate(int rank, int size) {
  deisa::Options options;
  options.communicator = deisa::Communicator::open(deisa_mpi_open, MPI_COMM_WORLD);
  deisa::Bridge bridge(std::move(options));
  deisa::Layout layout;
  layout.chunk_shape = {2, 3};
  layout.nb_chunks_per_dim = {1, size};
  layout.chunk_position = {0, rank};
  bridge.define<double>("temperature", layout);
  bridge.ready();
  std::vector<double> memory(4 * 5);
  const deisa::View<double> inside = deisa::View<double>(memory.data(), {4, 5}).inside();
  for (int step = 0; step < 3; ++step) {
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 3; ++j) {
        inside(i, j) = 1e6 * step + static_cast<double>(i) * 3 * size + 3 * rank + j;
      }
    }
    bridge.send("temperature", inside, step);
  }
  bridge.close(3);
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, size = 0, status = has_gloo() ? 0 : 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  try {
    simulate(rank, size);
    if (rank == 0) std::puts("done");
  } catch (const deisa::Exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    status = 1;
  }
  MPI_Finalize();
  return status;
}
