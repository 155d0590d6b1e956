// How the chunks of a node join into boxes: with `aggregate`, a box is one object, and one chunk of the
// array that the analytics see.
#pragma once

#include <cstdint>
#include <vector>

namespace deisa {

// By dimension, the positions in the grid of chunks at which a box begins: ascending, the first is 0.
using BoxGrid = std::vector<std::vector<int64_t>>;

// The coarsest rectilinear grid of boxes, each of chunks of one node only. `nodes` has the node of
// each chunk of the grid, last dimension fastest.
BoxGrid largest_boxes(const std::vector<int64_t>& grid, const std::vector<int>& nodes);

// Every chunk in a box of its own.
BoxGrid single_boxes(const std::vector<int64_t>& grid);

// The box of one chunk, in elements.
struct Box {
  std::vector<int64_t> grid;      // of boxes
  std::vector<int64_t> position;  // in that grid
  std::vector<int64_t> shape;
  std::vector<int64_t> offset;  // of the chunk in the box
  int64_t chunks = 1;           // in the box
};

// `extents`: by dimension and position, those of the chunks.
Box box_of(const std::vector<int64_t>& position, const BoxGrid& boxes,
           const std::vector<std::vector<int64_t>>& extents);

}  // namespace deisa
