#include "comm/node_map.hpp"

#include <gtest/gtest.h>

#include <random>

#include "base/error.hpp"

namespace deisa {
namespace {

NodeMap again(const NodeMap& map) {
  return NodeMap::from_text(map.to_text(), static_cast<int>(map.node_of.size()));
}

TEST(NodeMap, CountsNodesInTheOrderOfTheirLowestRanks) {
  const NodeMap map = NodeMap::from_keys({"b", "a", "b", "c", "a"});
  EXPECT_EQ(map.node_of, (std::vector<int>{0, 1, 0, 2, 1}));
  EXPECT_EQ(map.ranks, (std::vector<std::vector<int>>{{0, 2}, {1, 4}, {3}}));
  EXPECT_EQ(map.leaders(), (std::vector<int>{0, 1, 3}));
  EXPECT_EQ(map.most_ranks(), 2u);
  EXPECT_EQ(map.index_of(4), 1);
}

TEST(NodeMap, SurvivesText) {
  std::mt19937 random(7);
  for (int size = 1; size <= 200; ++size) {
    std::vector<std::string> keys;
    const int nodes = 1 + static_cast<int>(random() % 9);
    for (int rank = 0; rank < size; ++rank) {
      keys.push_back(std::to_string(random() % static_cast<unsigned>(nodes)));
    }
    const NodeMap map = NodeMap::from_keys(keys);
    EXPECT_EQ(again(map).node_of, map.node_of);
    EXPECT_EQ(again(map).ranks, map.ranks);
  }
}

TEST(NodeMap, TextOfRegularPlacesIsShort) {
  std::vector<std::string> block, cyclic;
  for (int rank = 0; rank < 128000; ++rank) {
    block.push_back(std::to_string(rank / 128));
    cyclic.push_back(std::to_string(rank % 1000));
  }
  EXPECT_LT(NodeMap::from_keys(block).to_text().size(), 11000u);
  EXPECT_LT(NodeMap::from_keys(cyclic).to_text().size(), 1500u);
}

TEST(NodeMap, RefusesDamagedText) {
  for (const char* text :
       {"", "0 0 3\n", "0 0 5\n", "1 0 4\n", "0 0 2\n2 0 2\n", "0 2 4\n", "0 0 0\n0 0 4\n",
        "-1 0 4\n", "0 0 4\nx", "0 0 4\n0 0", "0 0 99999999999\n"}) {
    EXPECT_THROW(NodeMap::from_text(text, 4), Error) << text;
  }
  EXPECT_EQ(NodeMap::from_text("0 1 4\n", 4).ranks.size(), 4u);
}

}  // namespace
}  // namespace deisa
