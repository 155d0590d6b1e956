// Diffusion in a box, on a 3-D grid of MPI ranks whose blocks differ in size. After each timestep
// every rank sends two fields: `density`, out of memory with ghost cells, and `change`, out of
// memory that the library lent.
//
//   diffusion [LAYERS ROWS COLUMNS STEPS]
#include <deisa/deisa_mpi.h>
#include <mpi.h>

#include <cstdio>
#include <cstdlib>
#include <deisa/deisa.hpp>
#include <exception>
#include <utility>

#include "block.hpp"

namespace {

using diffusion::Triple;

// 17 x 13 x 11 over 2 x 2 x 1 ranks: blocks of 9 or 8 x 7 or 6 x 11 cells.
struct Arguments {
  Triple cells = {17, 13, 11};
  std::int64_t steps = 8;
  bool good = true;
};

Arguments read_arguments(int argc, char** argv) {
  Arguments arguments;
  std::int64_t* const values[] = {&arguments.cells[0], &arguments.cells[1], &arguments.cells[2],
                                  &arguments.steps};
  arguments.good = argc == 1 || argc == 5;
  for (int i = 1; i < argc && arguments.good; ++i) {
    char* end = nullptr;
    *values[i - 1] = std::strtoll(argv[i], &end, 10);
    arguments.good = *end == '\0' && *values[i - 1] >= 1 && *values[i - 1] <= 100000;
  }
  return arguments;
}

deisa::Bridge connect(const diffusion::Grid& grid) {
  deisa::Options options;
  options.communicator = deisa::Communicator::open(deisa_mpi_open, grid.communicator);
  deisa::Bridge bridge(std::move(options));
  // The global shape follows from the chunks of all ranks.
  deisa::Layout layout;
  layout.chunk_shape = grid.extent;
  layout.nb_chunks_per_dim = grid.ranks;
  layout.chunk_position = grid.position;
  bridge.define<double>("density", layout);
  bridge.define<float>("change", layout);
  bridge.ready();
  return bridge;
}

void simulate(const Arguments& arguments, const diffusion::Grid& grid) {
  diffusion::Block block(grid);
  deisa::Bridge bridge = connect(grid);
  deisa::Loan<float> change = bridge.loan<float>("change");
  for (std::int64_t timestep = 0; timestep < arguments.steps; ++timestep) {
    block.advance(change.view());
    deisa::Step step = bridge.begin_step(timestep);
    step.put("density", block.cells().inside());  // packed as it is copied
    step.put(change);  // not copied; `change` is the next memory afterwards
    step.end();
  }
  bridge.close(arguments.steps);
  if (grid.rank == 0) std::printf("%lld timesteps sent\n", static_cast<long long>(arguments.steps));
}

int run(int argc, char** argv) {
  const Arguments arguments = read_arguments(argc, argv);
  const diffusion::Grid grid(arguments.cells);
  const Triple& least = arguments.cells;
  const bool fits =
      least[0] >= grid.ranks[0] && least[1] >= grid.ranks[1] && least[2] >= grid.ranks[2];
  if (!arguments.good || !fits) {
    if (grid.rank == 0) {
      std::fprintf(stderr,
                   !arguments.good
                       ? "usage: diffusion [LAYERS ROWS COLUMNS STEPS], each from 1 to 100000\n"
                       : "diffusion: too few cells: every rank needs one\n");
    }
    return 1;
  }
  try {
    simulate(arguments, grid);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "diffusion, rank %d: %s\n", grid.rank, error.what());
    // The others may be waiting for this rank.
    MPI_Abort(MPI_COMM_WORLD, 1);
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const int status = run(argc, argv);
  MPI_Finalize();
  return status;
}
