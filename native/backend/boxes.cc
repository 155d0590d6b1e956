#include "backend/boxes.hpp"

#include <algorithm>

namespace deisa {

// Two chunks that are neighbours and not of one node need a line between them, and a line goes through
// the whole grid. No other line is needed: without it, all chunks of a box are neighbours by neighbours
// of one node.
BoxGrid largest_boxes(const std::vector<int64_t>& grid, const std::vector<int>& nodes) {
  BoxGrid boxes;
  size_t inner = nodes.size();  // chunks from one position of the dimension to the next
  for (const int64_t extent : grid) {
    const auto length = static_cast<size_t>(extent);
    inner /= length;
    std::vector<bool> line(length, false);
    line[0] = true;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const size_t position = i / inner % length;
      if (position > 0 && nodes[i] != nodes[i - inner]) line[position] = true;
    }
    boxes.emplace_back();
    for (size_t position = 0; position < length; ++position) {
      if (line[position]) boxes.back().push_back(static_cast<int64_t>(position));
    }
  }
  return boxes;
}

BoxGrid single_boxes(const std::vector<int64_t>& grid) {
  BoxGrid boxes;
  for (const int64_t extent : grid) {
    boxes.emplace_back();
    for (int64_t position = 0; position < extent; ++position) boxes.back().push_back(position);
  }
  return boxes;
}

Box box_of(const std::vector<int64_t>& position, const BoxGrid& boxes,
           const std::vector<std::vector<int64_t>>& extents) {
  Box box;
  for (size_t d = 0; d < boxes.size(); ++d) {
    const auto next = std::upper_bound(boxes[d].begin(), boxes[d].end(), position[d]);
    const int64_t first = *(next - 1);
    const int64_t end = next == boxes[d].end() ? static_cast<int64_t>(extents[d].size()) : *next;
    box.grid.push_back(static_cast<int64_t>(boxes[d].size()));
    box.position.push_back(next - boxes[d].begin() - 1);
    box.shape.push_back(0);
    box.offset.push_back(0);
    for (int64_t at = first; at < end; ++at) {
      const int64_t extent = extents[d][static_cast<size_t>(at)];
      box.shape.back() += extent;
      if (at < position[d]) box.offset.back() += extent;
    }
    box.chunks *= end - first;
  }
  return box;
}

}  // namespace deisa
