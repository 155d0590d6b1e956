// Several ranks, as threads, through the C ABI: agreement, leaders, collective calls.
#include <future>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"
#include "bridge/testing/thread_communicator.hpp"

namespace deisa::testing {
namespace {

constexpr int kRanks = 4;

class WorldTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    set_node("b", &other_node);
  }

  // Runs `program` on every rank; opens the bridges, and defines nothing.
  template <typename Program>
  void run(const Program& program) {
    std::vector<std::thread> threads;
    for (int r = 0; r < kRanks; ++r) {
      threads.emplace_back([this, r, &program] {
        Rank rank;
        const deisa_communicator table = world.table(r);
        rank.options.communicator = &table;
        rank.options.error_mode = DEISA_ERRORS_RETURN;
        rank.options.comm_timeout = 10;
        if (two_nodes && r % 2 == 1) rank.options.node_id = "b";
        ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
        program(rank, r);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  ThreadWorld world{kRanks};
  FakeNode node, other_node;
  bool two_nodes = false;
};

TEST_F(WorldTest, EveryRankSendsAndOnlyBridgeZeroEnds) {
  run([](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    for (int64_t t = 0; t < 5; ++t) EXPECT_EQ(rank.send("t", r, t), DEISA_OK);
    EXPECT_EQ(rank.close(5), DEISA_OK);
  });
  EXPECT_EQ(node.chunks().size(), 5u * kRanks);
  int ends = 0;
  size_t steps_after_end = 0;
  for (const std::string& line : node.log()) {
    if (contains(line, "END")) ++ends;
    if (ends > 0 && contains(line, "STEP")) ++steps_after_end;
  }
  EXPECT_EQ(ends, 1);
  EXPECT_EQ(steps_after_end, 0u) << "the end marker overtook data";
}

TEST_F(WorldTest, RanksOfTwoNodesMeetTheirOwnActors) {
  two_nodes = true;
  run([](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    EXPECT_EQ(rank.send("t", r, 0), DEISA_OK);
    EXPECT_EQ(rank.close(5), DEISA_OK);
  });
  EXPECT_EQ(node.chunks().size(), 2u);
  EXPECT_EQ(other_node.chunks().size(), 2u);
  const auto request = nlohmann::json::parse(other_node.last_finalise);
  EXPECT_EQ(request.at("bridges"), nlohmann::json({1, 3}));
  EXPECT_EQ(request.at("nodes"), nlohmann::json({"", "b"}));
  EXPECT_EQ(request.at("master_node"), "");
  EXPECT_EQ(request.at("uniform"), true);
  EXPECT_EQ(nlohmann::json::parse(node.definition(2, 0)).at("nb_chunks_of_node"), 2);
}

TEST_F(WorldTest, DisagreementIsTheSameErrorOnEveryRank) {
  std::vector<std::string> messages(kRanks);
  run([&](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, kRanks, r == 2 ? DEISA_INT64 : DEISA_FLOAT64), DEISA_OK);
    EXPECT_EQ(rank.ready(), DEISA_ERROR_CONTRACT);
    messages[static_cast<size_t>(r)] = rank.message();
  });
  for (const std::string& message : messages) {
    EXPECT_TRUE(contains(message, "dtype = int64 on rank 2, but float64 on rank 0"));
    EXPECT_EQ(message, messages[0]);
  }
  EXPECT_TRUE(node.log().empty()) << "nobody was contacted";
}

// Rank 2 says something else than the others about an array of 4 chunks, or of a fifth one.
struct Disagreement {
  const char* name;
  const char* rank_2;  // its metadata of "t", as JSON
  const char* expected;
  bool by_start = false;  // the others give their start
};

class DisagreementTest : public WorldTest, public ::testing::WithParamInterface<Disagreement> {};

TEST_P(DisagreementTest, IsTheSameContractErrorOnEveryRank) {
  std::vector<std::string> messages(kRanks);
  run([&](Rank& rank, int r) {
    const std::string own = R"({"chunk_shape": [3, 2], "nb_chunks_per_dim": [2, 2],)"
                            R"( "dtype": "float64", "chunk_position": [)" +
                            std::to_string(r / 2) + ", " + std::to_string(r % 2) + "]}";
    const std::string by_start = R"({"chunk_shape": [3, 2], "global_shape": [6, 4],)"
                                 R"( "dtype": "float64", "start": [)" +
                                 std::to_string(r / 2 * 3) + ", " + std::to_string(r % 2 * 2) +
                                 "]}";
    const std::string arrays = R"({"t": )" +
                               (r == 2                ? GetParam().rank_2
                                : GetParam().by_start ? by_start
                                                      : own) +
                               "}";
    ASSERT_EQ(deisa_define_json(rank.bridge, arrays.c_str(), &rank.error), DEISA_OK)
        << rank.message();
    EXPECT_EQ(rank.ready(), DEISA_ERROR_CONTRACT);
    messages[static_cast<size_t>(r)] = rank.message();
    EXPECT_EQ(rank.send("t", 0, 0), DEISA_ERROR_CONTRACT) << "nothing can be sent";
  });
  for (const std::string& message : messages) {
    EXPECT_TRUE(contains(message, GetParam().expected));
    EXPECT_TRUE(contains(message, "array 't'"));
    EXPECT_EQ(message, messages[0]);
  }
  EXPECT_TRUE(node.log().empty()) << "nobody was contacted";
}

constexpr Disagreement kDisagreements[] = {
    {"Grid", R"({"chunk_shape": [3, 2], "nb_chunks_per_dim": [2, 3], "dtype": "float64",
                 "chunk_position": [1, 0]})",
     "nb_chunks_per_dim = (2, 3) on rank 2, but (2, 2) on rank 0"},
    {"Dimensions", R"({"chunk_shape": [3], "nb_chunks_per_dim": [4], "dtype": "float64",
                       "chunk_position": [2]})",
     "nb_chunks_per_dim = (4) on rank 2, but (2, 2) on rank 0"},
    {"Dtype", R"({"chunk_shape": [3, 2], "nb_chunks_per_dim": [2, 2], "dtype": "int64",
                  "chunk_position": [1, 0]})",
     "dtype = int64 on rank 2, but float64 on rank 0"},
    {"ExtentOnAGridLine", R"({"chunk_shape": [3, 5], "nb_chunks_per_dim": [2, 2],
                              "dtype": "float64", "chunk_position": [1, 0]})",
     "chunk_shape[1] = 5 on rank 2, but 2 on rank 0, on the same grid line 0 of dimension 1"},
    {"PositionTwice", R"({"chunk_shape": [3, 2], "nb_chunks_per_dim": [2, 2], "dtype": "float64",
                          "chunk_position": [1, 1]})",
     "chunk_position = (1, 1) on rank 2 and on rank 3: expected each position once"},
    {"PositionMissing", R"({"chunk_shape": [3, 2], "nb_chunks_per_dim": [2, 2],
                            "dtype": "float64", "chunk_position": [0, 1]})",
     "no bridge has chunk_position (1, 0): expected 4 chunks for the grid (2, 2), got 3"},
    {"GlobalShape", R"({"chunk_shape": [3, 2], "nb_chunks_per_dim": [2, 2], "dtype": "float64",
                        "global_shape": [7, 4], "chunk_position": [1, 0]})",
     "global_shape = (7, 4) on rank 2: expected (6, 4), the sum of the chunks"},
    {"ChunksOfNode", R"({"chunk_shape": [3, 2], "nb_chunks_per_dim": [2, 2], "dtype": "float64",
                         "nb_chunks_of_node": 3, "chunk_position": [1, 0]})",
     "nb_chunks_of_node = 3 on rank 2: expected 4, the chunks of the bridges on its node"},
    {"StartAndPosition", R"({"chunk_shape": [3, 2], "global_shape": [6, 4], "dtype": "float64",
                             "start": [3, 0]})",
     "start on rank 2, but chunk_position on rank 0: expected the same key on every bridge"},
    {"PositionAndStart", R"({"chunk_shape": [3, 2], "nb_chunks_per_dim": [2, 2],
                             "dtype": "float64", "chunk_position": [1, 0]})",
     "chunk_position on rank 2, but start on rank 0: expected the same key on every bridge", true},
    {"GlobalShapeOfAStart", R"({"chunk_shape": [3, 2], "global_shape": [7, 4],
                                "dtype": "float64", "start": [3, 0]})",
     "global_shape = (7, 4) on rank 2, but (6, 4) on rank 0: expected the same shape", true},
    {"Gap", R"({"chunk_shape": [3, 1], "global_shape": [6, 4], "dtype": "float64",
                "start": [3, 1]})",
     "expected a rectilinear grid", true},
    {"Overlap", R"({"chunk_shape": [3, 2], "global_shape": [6, 4], "dtype": "float64",
                    "start": [2, 0]})",
     "the chunks of rank 0 (start (0, 0), chunk_shape (3, 2)) and rank 2 (start (2, 0), "
     "chunk_shape (3, 2)) overlap",
     true},
    {"ChunksOfNodeOfAStart", R"({"chunk_shape": [3, 2], "global_shape": [6, 4],
                                 "dtype": "float64", "nb_chunks_of_node": 3, "start": [3, 0]})",
     "nb_chunks_of_node = 3 on rank 2: expected 4, the chunks of the bridges on its node", true},
};

INSTANTIATE_TEST_SUITE_P(Kinds, DisagreementTest, ::testing::ValuesIn(kDisagreements),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_F(WorldTest, TheLeastReadyTimeoutIsEverybodys) {
  run([](Rank& rank, int r) {
    deisa_abandon(&rank.bridge);
    rank.options.ready_timeout = r == 2 ? 40 : 600;
    ASSERT_EQ(rank.open(), DEISA_OK);
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    EXPECT_EQ(rank.close(0), DEISA_OK);
  });
  EXPECT_LE(nlohmann::json::parse(node.last_prepare).at("deadline"), 40);
  EXPECT_LE(nlohmann::json::parse(node.last_finalise).at("deadline"), 40);
}

TEST_F(WorldTest, ALeadersFailureIsEverybodys) {
  two_nodes = true;
  other_node.prepare_error = "no Java on this node";
  run([&](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    EXPECT_EQ(rank.ready(), DEISA_ERROR_CONNECTION);
    EXPECT_TRUE(contains(rank.message(), "no Java on this node"));
    EXPECT_EQ(rank.error.rank, 1) << "the leader of that node";
  });
}

TEST_F(WorldTest, CollectiveFeedbackIsTheSameEverywhere) {
  std::string packed;
  nlohmann::json::to_msgpack(7, packed);
  node.set_value("k", packed);
  two_nodes = true;  // the other node has no such value
  run([&](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    int64_t value = 0;
    EXPECT_EQ(deisa_get_int64(rank.bridge, "k", &*read(DEISA_LATEST, true), &value, &rank.error),
              DEISA_OK);
    EXPECT_EQ(value, 7);
    const deisa_status alone = deisa_get_int64(rank.bridge, "k", nullptr, &value, &rank.error);
    EXPECT_EQ(alone, r % 2 == 0 ? DEISA_OK : DEISA_NOT_FOUND);
    EXPECT_EQ(rank.close(0), DEISA_OK);
  });
}

TEST_F(WorldTest, AbandonMeetsNobody) {
  std::promise<void> abandoned;
  const std::shared_future<void> when = abandoned.get_future().share();
  run([&](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    EXPECT_EQ(rank.send("t", r, 0), DEISA_OK);
    if (r == 0) {
      deisa_abandon(&rank.bridge);
      abandoned.set_value();
    } else {
      // The others are far from any collective call.
      EXPECT_EQ(when.wait_for(std::chrono::seconds(30)), std::future_status::ready);
      EXPECT_EQ(rank.send("t", r, 1), DEISA_OK) << "they are not disturbed";
    }
  });
}

TEST_F(WorldTest, ARankThatNeverClosesEndsTheOthersWaits) {
  run([&](Rank& rank, int r) {
    rank.options.comm_timeout = 3;
    rank.options.send_timeout = 0.5;
    deisa_abandon(&rank.bridge);
    ASSERT_EQ(rank.open(), DEISA_OK);
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    if (r == 3) return;  // abandons
    EXPECT_EQ(rank.close(0), DEISA_ERROR_TIMEOUT);
    EXPECT_TRUE(contains(rank.message(), "3 of 4 ranks came"));
  });
  for (const std::string& line : node.log()) EXPECT_FALSE(contains(line, "END"));
}

}  // namespace
}  // namespace deisa::testing
