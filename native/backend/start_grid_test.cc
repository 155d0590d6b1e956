#include "backend/start_grid.hpp"

#include <gtest/gtest.h>

namespace deisa {
namespace {

using Extents = std::vector<std::vector<int64_t>>;

// The rank of a block is its place in the list.
std::vector<Block> blocks(
    const std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>>& starts_and_shapes) {
  std::vector<Block> made;
  for (const auto& [start, shape] : starts_and_shapes) {
    made.push_back({static_cast<int>(made.size()), start, shape});
  }
  return made;
}

std::string refused(const std::vector<Block>& of, const std::vector<int64_t>& global_shape) {
  Problems problems;
  EXPECT_FALSE(grid_of("t", of, global_shape, problems));
  try {
    problems.raise(DEISA_ERROR_CONTRACT, "");
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

TEST(StartGrid, UnevenBlocksInAnyOrder) {
  Problems problems;
  const auto grid =
      grid_of("t", blocks({{{6, 0}, {4, 4}}, {{0, 4}, {6, 3}}, {{0, 0}, {6, 4}}, {{6, 4}, {4, 3}}}),
              {10, 7}, problems);
  ASSERT_TRUE(grid);
  EXPECT_EQ(problems.size(), 0u);
  EXPECT_EQ(*grid, (Extents{{6, 4}, {4, 3}}));
  EXPECT_EQ(place_of({6, 4}, *grid), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(place_of({6, 0}, *grid), (std::vector<int64_t>{1, 0}));
}

TEST(StartGrid, OneBlock) {
  Problems problems;
  EXPECT_EQ(grid_of("t", blocks({{{0}, {5}}}), {5}, problems), (Extents{{5}}));
}

TEST(StartGrid, GapsAreNamedByDimensionAndIndices) {
  const std::string hints[] = {refused(blocks({{{0}, {3}}, {{4}, {4}}}), {8}),
                               refused(blocks({{{2}, {6}}}), {8}),
                               refused(blocks({{{0}, {3}}, {{3}, {4}}}), {9})};
  EXPECT_EQ(hints[0],
            "\n  - array 't': dimension 0: no bridge has the indices 3, before where the chunk of "
            "rank 1 starts: expected chunks without gaps that fill global_shape (8)");
  EXPECT_EQ(hints[1],
            "\n  - array 't': dimension 0: no bridge has the indices 0 to 1, before where the "
            "chunk of rank 0 starts: expected chunks without gaps that fill global_shape (8)");
  EXPECT_EQ(hints[2],
            "\n  - array 't': dimension 0: no bridge has the indices 7 to 8, before the end of "
            "global_shape: expected chunks without gaps that fill global_shape (9)");
}

TEST(StartGrid, AHoleInTheGridIsNamedByItsStart) {
  EXPECT_EQ(refused(blocks({{{0, 0}, {4, 3}}, {{0, 3}, {4, 2}}, {{4, 0}, {1, 3}}}), {5, 5}),
            "\n  - array 't': no bridge has a chunk with start (4, 3): expected one for each place "
            "of the grid (2, 2), got 3");
}

TEST(StartGrid, ManyHolesAreCutShort) {
  std::vector<Block> diagonal;
  for (int i = 0; i < 40; ++i) {
    diagonal.push_back({i, std::vector<int64_t>(32, i), std::vector<int64_t>(32, 1)});
  }
  const std::string message = refused(diagonal, std::vector<int64_t>(32, 40));
  EXPECT_NE(message.find(" and others: expected one for each place"), std::string::npos) << message;
  EXPECT_LT(message.size(), 2000u);
}

TEST(StartGrid, OverlapsAreNamedByRanksAndIndices) {
  EXPECT_EQ(refused(blocks({{{0, 0}, {4, 3}}, {{3, 0}, {4, 3}}}), {7, 3}),
            "\n  - array 't': the chunks of rank 0 (start (0, 0), chunk_shape (4, 3)) and rank 1 "
            "(start (3, 0), chunk_shape (4, 3)) overlap, in the indices 3 of dimension 0, 0 to 2 "
            "of dimension 1: expected each element on one bridge");
  EXPECT_NE(refused(blocks({{{0}, {4}}, {{0}, {4}}}), {4}).find("overlap"), std::string::npos)
      << "the same chunk twice";
}

// Bricks: the elements are all there, each once.
TEST(StartGrid, WhatIsNotRectilinear) {
  EXPECT_EQ(
      refused(blocks({{{0, 0}, {4, 2}}, {{4, 0}, {4, 2}}, {{0, 2}, {3, 2}}, {{3, 2}, {5, 2}}}),
              {8, 4}),
      "\n  - array 't': dimension 0: rank 2 has the indices 0 to 2, rank 0 has 0 to 3: "
      "expected a rectilinear grid, in which two chunks have the same indices of a dimension "
      "or none in common");
}

TEST(StartGrid, AllProblemsTogether) {
  const std::string message =
      refused(blocks({{{0, 0}, {4, 2}}, {{2, 0}, {4, 2}}, {{7, 3}, {1, 1}}}), {8, 4});
  EXPECT_NE(message.find("dimension 0: no bridge has the indices 6"), std::string::npos) << message;
  EXPECT_NE(message.find("dimension 1: no bridge has the indices 2"), std::string::npos) << message;
  EXPECT_NE(message.find("rank 0 (start (0, 0), chunk_shape (4, 2)) and rank 1"), std::string::npos)
      << message;
}

}  // namespace
}  // namespace deisa
