// The chunk grid of an array whose chunks are given by their start in the whole array.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/problems.hpp"

namespace deisa {

// A box of the whole array, and the rank that has it.
struct Block {
  int rank;
  std::vector<int64_t> start, shape;  // within the global shape
};

// By dimension and place in the grid, the extents of the chunks on this grid line; for a start, its
// place is that of its sum (place_of). Empty when the blocks do not fill `global_shape` as a
// rectilinear grid, each element once: every gap, every overlap or where they are not rectilinear is
// added to `problems` then. `blocks` is not empty, and all have as many dimensions.
std::optional<std::vector<std::vector<int64_t>>> grid_of(const std::string& array,
                                                         const std::vector<Block>& blocks,
                                                         const std::vector<int64_t>& global_shape,
                                                         Problems& problems);

// How many chunks the grid of these extents has in each dimension.
std::vector<int64_t> shape_of_grid(const std::vector<std::vector<int64_t>>& extents);

// The position in the grid of a block that starts there.
std::vector<int64_t> place_of(const std::vector<int64_t>& start,
                              const std::vector<std::vector<int64_t>>& extents);

}  // namespace deisa
