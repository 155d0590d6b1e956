#include "backend/plan.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace deisa {
namespace {

ArrayMetadata chunk(std::vector<int64_t> shape, std::vector<int64_t> grid,
                    std::vector<int64_t> position, deisa_dtype dtype = DEISA_FLOAT64) {
  ArrayMetadata array;
  array.name = "t";
  array.layout = Layout::contiguous(dtype, std::move(shape));
  array.grid = std::move(grid);
  array.position = std::move(position);
  return array;
}

struct Rank {
  std::string node;
  std::vector<ArrayMetadata> arrays;
  double ready_timeout = 600;
};

Plan plan(const std::vector<Rank>& ranks, const ArrayFilters& filters = {}) {
  std::vector<std::string> encoded;
  for (const Rank& rank : ranks) {
    encoded.push_back(encode(Attendance{rank.node, rank.arrays, rank.ready_timeout}));
  }
  return make_plan(encoded, "s", filters);
}

std::string refused(const std::vector<Rank>& ranks) {
  try {
    plan(ranks);
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_CONTRACT);
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

// 10 points over 4 ranks: 3, 3, 2, 2.
std::vector<Rank> uneven() {
  return {{"a", {chunk({3}, {4}, {0})}},
          {"b", {chunk({3}, {4}, {1})}},
          {"a", {chunk({2}, {4}, {2})}},
          {"b", {chunk({2}, {4}, {3})}}};
}

void expect_text(const std::string& message, const std::string& text) {
  EXPECT_NE(message.find(text), std::string::npos) << message << "\nmisses: " << text;
}

TEST(Plan, UnevenChunksSumUp) {
  const Plan made = plan(uneven());
  EXPECT_EQ(made.arrays.at("t").global_shape, (std::vector<int64_t>{10}));
  EXPECT_EQ(made.arrays.at("t").chunks_of_node, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(made.node_of, (std::vector<int>{0, 1, 0, 1}));
  EXPECT_EQ(made.leader, (std::vector<int>{0, 1}));
  EXPECT_EQ(made.ranks_of_node(1), (std::vector<int>{1, 3}));
  EXPECT_TRUE(made.uniform);
}

TEST(Plan, KnowsTheExtentsOfUnevenChunks) {
  const Plan made = plan(uneven());
  EXPECT_EQ(made.arrays.at("t").extents, (std::vector<std::vector<int64_t>>{{3, 3, 2, 2}}));
  EXPECT_EQ(decode_plan(encode(made)).arrays.at("t").extents, made.arrays.at("t").extents);
}

// An array that is never sent delays nobody, wherever it lives.
TEST(Plan, ArraysThatAreNeverSentDoNotCount) {
  std::vector<Rank> ranks = uneven();
  ranks[0].arrays.push_back(chunk({3}, {1}, {0}));
  ranks[0].arrays.back().name = "u";
  EXPECT_FALSE(plan(ranks).uniform);
  EXPECT_FALSE(plan(ranks).same_arrays);
  EXPECT_FALSE(decode_plan(encode(plan(ranks))).same_arrays);
  ArrayFilters filters;
  filters.add("u", {false, 1});
  EXPECT_TRUE(plan(ranks, filters).uniform);
  EXPECT_TRUE(plan(ranks, filters).same_arrays);
  EXPECT_TRUE(plan(uneven()).same_arrays);
}

// A row of six chunks, two for each of the nodes that are named.
std::vector<Rank> row(const std::vector<std::string>& nodes, Aggregate aggregate) {
  std::vector<Rank> ranks;
  for (size_t i = 0; i < nodes.size(); ++i) {
    ranks.push_back({nodes[i], {chunk({2}, {6}, {static_cast<int64_t>(i)})}});
    ranks.back().arrays.front().aggregate = aggregate;
  }
  return ranks;
}

TEST(Plan, AggregateJoinsTheChunksOfANode) {
  const Plan made = plan(row({"a", "a", "b", "b", "c", "c"}, Aggregate::kNode));
  EXPECT_EQ(made.arrays.at("t").boxes, (BoxGrid{{0, 2, 4}}));
  EXPECT_EQ(decode_plan(encode(made)).arrays.at("t").boxes, made.arrays.at("t").boxes);
  EXPECT_EQ(made.arrays.at("t").chunks_of_node, (std::vector<int64_t>{2, 2, 2}));
  EXPECT_TRUE(plan(uneven()).arrays.at("t").boxes.empty());
}

TEST(Plan, AggregateOfANodeNeedsABox) {
  const std::string message = refused(row({"a", "b", "b", "a", "c", "c"}, Aggregate::kNode));
  expect_text(
      message,
      "array 't': aggregate = node: the 2 chunks of the ranks on the node of rank 0 make 2 boxes");
  expect_text(message, "or set aggregate = auto");
  const Plan made = plan(row({"a", "b", "b", "a", "c", "c"}, Aggregate::kAuto));
  EXPECT_EQ(made.arrays.at("t").boxes, (BoxGrid{{0, 1, 3, 4}}));
  const Plan single = plan(row({"a", "b", "a", "b", "a", "b"}, Aggregate::kAuto));
  EXPECT_TRUE(single.arrays.at("t").boxes.empty()) << "every chunk is its own box";
}

TEST(Plan, AggregateIsTheSameOnEveryRank) {
  std::vector<Rank> ranks = row({"a", "a", "a", "a", "a", "a"}, Aggregate::kNode);
  ranks[3].arrays.front().aggregate = Aggregate::kNone;
  expect_text(refused(ranks), "aggregate = none on rank 3, but node on rank 0");
}

TEST(Plan, OptionsThatMustBeAlike) {
  std::vector<std::string> encoded;
  for (const char* choice : {"{}", R"({"t":{"every":10}})"}) {
    encoded.push_back(encode(Attendance{"a", {}, 600, {{"arrays", choice}, {"backend", "null"}}}));
  }
  try {
    make_plan(encoded, "s");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_CONTRACT);
    expect_text(error.what(), R"(option arrays = {"t":{"every":10}} on rank 1, but {} on rank 0)");
    EXPECT_EQ(std::string(error.what()).find("backend"), std::string::npos);
  }
}

TEST(Plan, KnowsWhetherAnyRankSendsATimestep) {
  const Plan made = plan(uneven());
  ArrayFilters filters;
  EXPECT_TRUE(made.sends_at(5, filters));
  filters.add("t", {true, 10});
  EXPECT_FALSE(made.sends_at(5, filters));
  EXPECT_TRUE(made.sends_at(10, filters));
}

TEST(Plan, StartsGiveTheGridAndThePlaces) {
  std::vector<Rank> ranks = uneven();
  std::vector<int64_t> start = {10};
  for (Rank& rank : ranks) {
    ArrayMetadata& array = rank.arrays[0];
    start[0] -= array.layout.shape[0];  // in the opposite order of the ranks
    array.start = start;
    array.global_shape = {{10}};
    array.grid.clear();
    array.position.clear();
  }
  const Plan made = decode_plan(encode(plan(ranks)));
  EXPECT_EQ(made.arrays.at("t").extents, (std::vector<std::vector<int64_t>>{{2, 2, 3, 3}}));
  EXPECT_EQ(made.arrays.at("t").global_shape, (std::vector<int64_t>{10}));
  ArrayMetadata placed = ranks[1].arrays[0];
  take_place(placed, made);
  EXPECT_EQ(placed.grid, (std::vector<int64_t>{4}));
  EXPECT_EQ(placed.position, (std::vector<int64_t>{2}));
  ranks[0].arrays[0].start = {{6}};
  expect_text(refused(ranks), "array 't': dimension 0: no bridge has the indices 9");
}

TEST(Plan, TravelsWhole) {
  const Plan made = plan(uneven());
  const Plan copy = decode_plan(encode(made));
  EXPECT_EQ(copy.session, made.session);
  EXPECT_EQ(copy.node_of, made.node_of);
  EXPECT_EQ(copy.leader, made.leader);
  EXPECT_EQ(copy.uniform, made.uniform);
  EXPECT_EQ(copy.arrays.at("t").global_shape, made.arrays.at("t").global_shape);
  EXPECT_EQ(copy.arrays.at("t").chunks_of_node, made.arrays.at("t").chunks_of_node);
}

TEST(Plan, AnArrayOnOneNodeIsNotUniform) {
  auto ranks = uneven();
  ArrayMetadata lone = chunk({2}, {1}, {0});
  lone.name = "lone";
  ranks[1].arrays.push_back(lone);
  EXPECT_FALSE(plan(ranks).uniform);
}

TEST(Plan, TheEndMarkerDoesNotCount) {
  auto ranks = uneven();
  ranks[0].arrays.push_back(end_marker_metadata());
  EXPECT_TRUE(plan(ranks).uniform);
}

TEST(Plan, DifferentGrids) {
  auto ranks = uneven();
  ranks[2].arrays[0].grid = {5};
  expect_text(refused(ranks), "array 't': nb_chunks_per_dim = (5) on rank 2, but (4) on rank 0");
}

TEST(Plan, DifferentDtypes) {
  auto ranks = uneven();
  ranks[3].arrays[0].layout.dtype = DEISA_FLOAT32;
  expect_text(refused(ranks), "dtype = float32 on rank 3, but float64 on rank 0");
}

TEST(Plan, ADtypeThatIsNotKnownIsThatOfTheOthers) {
  auto ranks = uneven();
  ranks[0].arrays[0].layout.dtype = kNoDtype;
  EXPECT_EQ(decode_plan(encode(plan(ranks))).arrays.at("t").dtype, "float64");
  for (auto& rank : ranks) rank.arrays[0].layout.dtype = kNoDtype;
  EXPECT_EQ(plan(ranks).arrays.at("t").dtype, "");
  ranks[1].arrays[0].layout.dtype = DEISA_INT8;
  ranks[3].arrays[0].layout.dtype = DEISA_FLOAT32;
  expect_text(refused(ranks), "dtype = float32 on rank 3, but int8 on rank 1");
}

TEST(Plan, DifferentExtentsOnAGridLine) {
  expect_text(refused({{"a", {chunk({3, 2}, {2, 2}, {0, 0})}},
                       {"a", {chunk({4, 2}, {2, 2}, {0, 1})}},
                       {"a", {chunk({3, 2}, {2, 2}, {1, 0})}},
                       {"a", {chunk({3, 2}, {2, 2}, {1, 1})}}}),
              "chunk_shape[0] = 4 on rank 1, but 3 on rank 0, on the same grid line 0");
}

TEST(Plan, APositionTwiceAndOneMissing) {
  auto ranks = uneven();
  ranks[3].arrays[0].position = {2};
  const std::string message = refused(ranks);
  expect_text(message, "chunk_position = (2) on rank 2 and on rank 3");
  expect_text(message, "no bridge has chunk_position (3)");
}

TEST(Plan, ManyMissingPositionsAreCutShort) {
  const std::string message = refused({{"a", {chunk({1, 1}, {1000, 1000}, {0, 0})}}});
  expect_text(message, "(0, 1), (0, 2)");
  expect_text(message, "and 999991 more");
}

TEST(Plan, GlobalShapeThatIsNotTheSum) {
  auto ranks = uneven();
  ranks[1].arrays[0].global_shape = {{12}};
  expect_text(refused(ranks), "global_shape = (12) on rank 1: expected (10)");
}

TEST(Plan, ChunksOfNodeThatAreNotThere) {
  auto ranks = uneven();
  ranks[1].arrays[0].chunks_of_node = 3;
  expect_text(refused(ranks), "nb_chunks_of_node = 3 on rank 1: expected 2");
}

TEST(Plan, AllDisagreementsTogether) {
  auto ranks = uneven();
  ArrayMetadata other = chunk({2}, {2}, {0});
  other.name = "u";
  ranks[0].arrays.push_back(other);
  ranks[3].arrays[0].layout.dtype = DEISA_FLOAT32;
  const std::string message = refused(ranks);
  expect_text(message, "array 't': dtype");
  expect_text(message, "array 'u': no bridge has chunk_position (1)");
}

TEST(Plan, TheLeastReadyTimeoutIsEverybodys) {
  auto ranks = uneven();
  EXPECT_EQ(decode_plan(encode(plan(ranks))).ready_timeout, 600);
  ranks[2].ready_timeout = 7;
  EXPECT_EQ(plan(ranks).ready_timeout, 7);
}

TEST(Plan, AnotherVersion) {
  std::vector<std::string> encoded = {encode(Attendance{"a", {}, 600}),
                                      encode(Attendance{"a", {}, 600})};
  nlohmann::json other = nlohmann::json::from_msgpack(encoded[1]);
  other["version"] = 1;
  encoded[1].clear();
  nlohmann::json::to_msgpack(other, encoded[1]);
  try {
    make_plan(encoded, "s");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_CONTRACT);
    expect_text(error.what(), "rank 1 runs another version of this library");
  }
}

TEST(Plan, DifferentNumbersOfDimensions) {
  expect_text(refused({{"a", {chunk({3}, {2}, {0})}}, {"a", {chunk({3, 1}, {2, 1}, {1, 0})}}}),
              "nb_chunks_per_dim = (2, 1) on rank 1, but (2) on rank 0");
}

TEST(Plan, NodeKeysDifferByNodeId) {
  EXPECT_EQ(node_key(""), node_key(""));
  EXPECT_NE(node_key("a"), node_key("b"));
  EXPECT_NE(random_session(), random_session());
  EXPECT_EQ(random_session().size(), 32u);
}

}  // namespace
}  // namespace deisa
