// One rank's block of a box of cells, with a frame of ghost cells around it.
#pragma once

#include <mpi.h>

#include <array>
#include <cstdint>
#include <vector>

#include "deisa/deisa.hpp"

namespace diffusion {

// Per dimension, slowest first.
using Triple = std::array<std::int64_t, 3>;

// How the ranks share the box. Extents differ by at most one: 11 cells over 2 ranks are 6 and 5.
class Grid {
 public:
  // Arranges the ranks of MPI_COMM_WORLD. Collective.
  explicit Grid(const Triple& cells);
  ~Grid();
  Grid(const Grid&) = delete;
  Grid& operator=(const Grid&) = delete;

  MPI_Comm communicator = MPI_COMM_NULL;
  int rank = 0;
  Triple ranks{};     // of the grid
  Triple position{};  // of this rank in it
  Triple first{};     // cell of this rank's block
  Triple extent{};    // cells of this rank's block; a 0 if there are too many ranks
};

class Block {
 public:
  explicit Block(const Grid& grid);

  // All cells, ghosts included: extent + 2 in each dimension.
  deisa::View<double> cells() { return view(density_); }
  // One explicit step in time. Collective: fetches the ghost cells first. What lies outside of the
  // box is 0. Writes how much each cell has changed, in the block's shape without ghosts.
  void advance(const deisa::View<float>& change);

 private:
  deisa::View<double> view(std::vector<double>& memory) {
    return {memory.data(), {extent_[0] + 2, extent_[1] + 2, extent_[2] + 2}};
  }
  void fetch_ghosts();

  MPI_Comm communicator_;
  Triple extent_;
  std::vector<double> density_, next_;
};

}  // namespace diffusion
