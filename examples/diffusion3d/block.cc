#include "block.hpp"

#include <algorithm>
#include <utility>

namespace diffusion {
namespace {

constexpr double kDiffusion = 0.1;  // diffusivity * time / area of a cell; stable up to 1/6

// A part of a contiguous block of doubles, as MPI sees it.
class Subarray {
 public:
  Subarray(const std::array<int, 3>& shape, const std::array<int, 3>& extent,
           const std::array<int, 3>& first) {
    MPI_Type_create_subarray(3, shape.data(), extent.data(), first.data(), MPI_ORDER_C, MPI_DOUBLE,
                             &type);
    MPI_Type_commit(&type);
  }
  ~Subarray() { MPI_Type_free(&type); }
  Subarray(const Subarray&) = delete;
  Subarray& operator=(const Subarray&) = delete;

  MPI_Datatype type = MPI_DATATYPE_NULL;
};

}  // namespace

Grid::Grid(const Triple& cells) {
  int size = 0, dims[3] = {0, 0, 0}, at[3];
  const int open[3] = {0, 0, 0};
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  MPI_Dims_create(size, 3, dims);
  // No reordering: the rank here is the rank in MPI_COMM_WORLD.
  MPI_Cart_create(MPI_COMM_WORLD, 3, dims, open, 0, &communicator);
  MPI_Comm_rank(communicator, &rank);
  MPI_Cart_coords(communicator, rank, 3, at);
  for (size_t d = 0; d < 3; ++d) {
    ranks[d] = dims[d];
    position[d] = at[d];
    const std::int64_t length = cells[d] / ranks[d], longer = cells[d] % ranks[d];
    first[d] = position[d] * length + std::min(position[d], longer);
    extent[d] = length + (position[d] < longer ? 1 : 0);
  }
}

Grid::~Grid() { MPI_Comm_free(&communicator); }

Block::Block(const Grid& grid)
    : communicator_(grid.communicator),
      extent_(grid.extent),
      density_(static_cast<size_t>((extent_[0] + 2) * (extent_[1] + 2) * (extent_[2] + 2))),
      next_(density_.size()) {
  const deisa::View<double> inside = cells().inside();
  for (std::int64_t i = 0; i < extent_[0]; ++i) {
    for (std::int64_t j = 0; j < extent_[1]; ++j) {
      for (std::int64_t k = 0; k < extent_[2]; ++k) {
        const std::int64_t pattern =
            7 * (grid.first[0] + i) + 3 * (grid.first[1] + j) + 5 * (grid.first[2] + k);
        inside(i, j, k) = static_cast<double>(pattern % 11);
      }
    }
  }
}

// Both faces of each dimension go to the neighbours there, whose own come into the ghost cells. The
// seven-cell cross of advance() needs no edges and corners.
void Block::fetch_ghosts() {
  std::array<int, 3> shape{}, face{};
  for (size_t d = 0; d < 3; ++d) {
    face[d] = static_cast<int>(extent_[d]);
    shape[d] = face[d] + 2;
  }
  for (int d = 0; d < 3; ++d) {
    const auto dimension = static_cast<size_t>(d);
    std::array<int, 3> extent = face;
    extent[dimension] = 1;
    const auto layer = [&](int index) {
      std::array<int, 3> first = {1, 1, 1};
      first[dimension] = index;
      return Subarray(shape, extent, first);
    };
    int before = MPI_PROC_NULL, after = MPI_PROC_NULL;
    MPI_Cart_shift(communicator_, d, 1, &before, &after);
    const int last = face[dimension];
    const Subarray lowest = layer(1), highest = layer(last), below = layer(0),
                   above = layer(last + 1);
    MPI_Sendrecv(density_.data(), 1, lowest.type, before, d, density_.data(), 1, above.type, after,
                 d, communicator_, MPI_STATUS_IGNORE);
    MPI_Sendrecv(density_.data(), 1, highest.type, after, d, density_.data(), 1, below.type, before,
                 d, communicator_, MPI_STATUS_IGNORE);
  }
}

void Block::advance(const deisa::View<float>& change) {
  fetch_ghosts();
  const deisa::View<double> u = view(density_), next = view(next_);
  for (std::int64_t i = 1; i <= extent_[0]; ++i) {
    for (std::int64_t j = 1; j <= extent_[1]; ++j) {
      for (std::int64_t k = 1; k <= extent_[2]; ++k) {
        // serial.py has the same order of operations, and so the same bits.
        const double around =
            ((u(i - 1, j, k) + u(i + 1, j, k)) + (u(i, j - 1, k) + u(i, j + 1, k))) +
            (u(i, j, k - 1) + u(i, j, k + 1));
        const double gained = kDiffusion * (around - 6.0 * u(i, j, k));
        next(i, j, k) = u(i, j, k) + gained;
        change(i - 1, j - 1, k - 1) = static_cast<float>(gained);
      }
    }
  }
  std::swap(density_, next_);
}

}  // namespace diffusion
