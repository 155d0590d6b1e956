#include "backend/boxes.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace deisa {
namespace {

using List = std::vector<int64_t>;

TEST(Boxes, OneNodeIsOneBox) {
  EXPECT_EQ(largest_boxes({3, 4}, std::vector<int>(12, 0)), (BoxGrid{{0}, {0}}));
}

TEST(Boxes, RowsOfNodes) {
  EXPECT_EQ(largest_boxes({4, 2}, {0, 0, 0, 0, 1, 1, 1, 1}), (BoxGrid{{0, 2}, {0}}));
}

// One node after the other, chunk by chunk: no neighbours in this dimension, all in the other.
TEST(Boxes, CyclicPlacement) {
  EXPECT_EQ(largest_boxes({4}, {0, 1, 0, 1}), (BoxGrid{{0, 1, 2, 3}}));
  EXPECT_EQ(largest_boxes({2, 2}, {0, 1, 0, 1}), (BoxGrid{{0}, {0, 1}}));
}

// A line that one pair needs goes through the whole grid.
TEST(Boxes, BricksAreCut) {
  EXPECT_EQ(largest_boxes({2, 3}, {0, 0, 1, 0, 1, 1}), (BoxGrid{{0, 1}, {0, 1, 2}}));
}

TEST(Boxes, UnevenCorners) {
  const std::vector<int> nodes = {0, 0, 1, 0, 0, 1, 2, 2, 3};
  EXPECT_EQ(largest_boxes({3, 3}, nodes), (BoxGrid{{0, 2}, {0, 2}}));
}

TEST(Boxes, PlaceOfAChunk) {
  const std::vector<List> extents = {{3, 3, 2}, {5, 4, 4}};
  const Box box = box_of({1, 2}, {{0, 2}, {0, 1}}, extents);
  EXPECT_EQ(box.grid, (List{2, 2}));
  EXPECT_EQ(box.position, (List{0, 1}));
  EXPECT_EQ(box.shape, (List{6, 8}));
  EXPECT_EQ(box.offset, (List{3, 4}));
  EXPECT_EQ(box.chunks, 4);
}

// Whatever the placement: each box has chunks of one node, and the boxes fill the grid.
TEST(Boxes, EveryPlacementOfASmallGrid) {
  const List grid = {2, 2, 3};
  const std::vector<List> extents = {{1, 1}, {1, 1}, {1, 1, 1}};
  for (int code = 0; code < 1 << 12; ++code) {
    std::vector<int> nodes;
    for (int i = 0; i < 12; ++i) nodes.push_back(code >> i & 1);
    const BoxGrid boxes = largest_boxes(grid, nodes);
    std::map<List, std::set<int>> nodes_of;
    std::map<List, int64_t> chunks_of;
    for (int i = 0; i < 12; ++i) {
      const Box box = box_of({i / 6, i / 3 % 2, i % 3}, boxes, extents);
      nodes_of[box.position].insert(nodes[static_cast<size_t>(i)]);
      ++chunks_of[box.position];
      EXPECT_EQ(box.chunks, box.shape[0] * box.shape[1] * box.shape[2]);
    }
    int64_t all = 0;
    for (const auto& [position, of_box] : nodes_of) {
      EXPECT_EQ(of_box.size(), 1u) << code;
      all += chunks_of[position];
    }
    EXPECT_EQ(all, 12);
  }
}

TEST(Boxes, SingleBoxes) { EXPECT_EQ(single_boxes({2, 3}), (BoxGrid{{0, 1}, {0, 1, 2}})); }

}  // namespace
}  // namespace deisa
