// The heat equation on a 2-D grid of MPI ranks, which writes two fields with ADIOS2 and knows nothing of deisa:
// heat_adios2 CONFIG [the options of heat]. The engine is that of CONFIG, an adios2.xml.
#include <adios2.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

extern "C" {
#include "grid.h"
#include "options.h"
#include "problem.h"
}

namespace {

adios2::Dims dims(std::int64_t rows, std::int64_t columns) {
  return {static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)};
}

void simulate(const char* config, const heat_options& options, const heat_grid& grid,
              heat_block& block) {
  adios2::ADIOS adios(config);
  adios2::IO io = adios.DeclareIO("heat");
  const adios2::Dims shape = dims(options.size, options.size),
                     start = dims(block.row, block.column), count = dims(block.rows, block.columns);
  auto temperature = io.DefineVariable<double>("temperature", shape, start, count);
  auto flux = io.DefineVariable<float>("flux", shape, start, count);
  // A serial ADIOS2: each rank has an engine of its own, and would write a file of its own.
  adios2::Engine engine = io.Open("heat." + std::to_string(grid.rank) + ".bp", adios2::Mode::Write);
  std::vector<double> cells(static_cast<std::size_t>(block.rows * block.columns));
  for (std::int64_t step = 0; step < options.steps; ++step) {
    const auto next =
        std::chrono::steady_clock::now() + std::chrono::duration<double>(options.pace);
    for (int substep = 0; substep < HEAT_SUBSTEPS; ++substep) {
      heat_exchange(&grid, &block);
      heat_substep(&block, 1);
    }
    heat_exchange(&grid, &block);
    heat_flux(&block);
    std::this_thread::sleep_until(next);
    auto cell = cells.begin();  // without the ghost cells
    for (std::int64_t i = 0; i < block.rows; ++i) {
      for (std::int64_t j = 0; j < block.columns; ++j) *cell++ = *heat_cell(&block, i, j);
    }
    engine.BeginStep();
    engine.Put(temperature, cells.data());
    engine.Put(flux, block.flux);
    engine.EndStep();
    if (grid.rank == 0) {
      std::printf("timestep %lld sent, source on\n", static_cast<long long>(step));
      std::fflush(stdout);
    }
  }
  engine.Close();
}

int run(int argc, char** argv, const heat_grid& grid) {
  heat_options options;
  if (argc < 2 || heat_options_read(argc - 1, argv + 1, grid.rank == 0, &options) != 0) return 1;
  heat_block block;
  std::int64_t row, rows, column, columns;
  heat_part(options.size, grid.shape[0], grid.position[0], &row, &rows);
  heat_part(options.size, grid.shape[1], grid.position[1], &column, &columns);
  if (rows < 1 || columns < 1 ||
      heat_block_init(&block, options.size, row, rows, column, columns) != 0) {
    std::fprintf(stderr, "heat: too few cells, or too little memory\n");
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
  int status = 0;
  try {
    simulate(argv[1], options, grid, block);
    if (grid.rank == 0 && options.report != nullptr) {
      std::FILE* report = std::fopen(options.report, "w");
      if (report == nullptr) throw std::runtime_error("no report can be written");
      std::fprintf(report, "{\"source_off_step\": -1}\n");
      if (std::fclose(report) != 0) throw std::runtime_error("no report can be written");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "heat: rank %d: %s\n", grid.rank, error.what());
    status = 1;
  }
  heat_block_free(&block);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  heat_grid grid;
  heat_grid_init(&grid);
  const int status = run(argc, argv, grid);
  if (status != 0) MPI_Abort(MPI_COMM_WORLD, status);
  heat_grid_free(&grid);
  MPI_Finalize();
  return status;
}
