// Back-pressure through the C ABI: one rank, and several as threads, against a node actor whose
// gate the test moves.
#include <chrono>
#include <cstring>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"
#include "bridge/testing/thread_communicator.hpp"

namespace deisa::testing {
namespace {

constexpr const char* kWhy = "the object store of this node is 81 % full. Make it larger";

size_t count(const std::vector<std::string>& log, const std::string& start) {
  size_t found = 0;
  for (const std::string& line : log) found += line.rfind(start, 0) == 0;
  return found;
}

class AdmissionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    rank.options.error_mode = DEISA_ERRORS_RETURN;
  }
  // A rank that knows: the gate is closed for every timestep after `newest`.
  void start(int64_t newest = 0) {
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t"), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    node.close_gate(newest, kWhy);
    // The answer to what was sent after it says that it has arrived.
    deisa_delete(rank.bridge, "nothing", nullptr);
  }
  // Questions are answered so: the gate stays where it is.
  void refuse_all(int64_t newest = 0) {
    node.on_ask(
        [newest](FakeNode& n, const FakeNode::Ask& ask) { n.answer(ask, false, newest, kWhy); });
  }
  int64_t skipped() {
    deisa_statistics status = {};
    status.struct_size = sizeof(status);
    EXPECT_EQ(deisa_get_statistics(rank.bridge, &status, nullptr), DEISA_OK);
    return status.steps_skipped;
  }

  FakeNode node;
  Rank rank;
};

TEST_F(AdmissionTest, AnOpenGateIsNotAsked) {
  ASSERT_EQ(rank.open(), DEISA_OK);
  ASSERT_EQ(rank.define("t"), DEISA_OK);
  ASSERT_EQ(rank.ready(), DEISA_OK);
  for (int64_t t = 0; t < 20; ++t) EXPECT_EQ(rank.send("t", 0, t), DEISA_OK);
  EXPECT_EQ(count(node.log(), "ASK"), 0u);
}

TEST_F(AdmissionTest, WhatHasBegunOnTheNodeIsNotAskedFor) {
  start(5);
  refuse_all(5);
  for (int64_t t = 0; t <= 5; ++t) EXPECT_EQ(rank.send("t", 0, t), DEISA_OK) << rank.message();
  EXPECT_EQ(count(node.log(), "ASK"), 0u);
}

TEST_F(AdmissionTest, BlockWaitsUntilTheGateMoves) {
  start();
  std::thread opener;
  node.on_ask([&opener](FakeNode& n, const FakeNode::Ask& ask) {
    EXPECT_TRUE(ask.waits);
    n.answer(ask, false, 0, kWhy);
    opener = std::thread([&n, ask] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));  // so that there is a wait to see
      n.answer(ask, false, ask.timestep, kWhy);
    });
  });
  ASSERT_EQ(rank.begin(7), DEISA_OK) << rank.message();
  opener.join();
  EXPECT_EQ(rank.put("t", 1), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(count(node.log(), "ASK 0 t=7 waits"), 1u);
  deisa_statistics status = {};
  status.struct_size = sizeof(status);
  EXPECT_EQ(deisa_get_statistics(rank.bridge, &status, nullptr), DEISA_OK);
  EXPECT_GT(status.seconds_blocked, 0.04);
}

TEST_F(AdmissionTest, BlockEndsAtItsTimeOutAndSaysWhatIsFull) {
  rank.options.block_timeout = 0.05;
  start();
  refuse_all();
  EXPECT_EQ(rank.begin(3), DEISA_ERROR_TIMEOUT);
  EXPECT_TRUE(contains(rank.message(), "timestep 3 may not begin: " + std::string(kWhy)));
  EXPECT_TRUE(contains(rank.message(), "waited for 0.05 s (block_timeout)"));
  EXPECT_TRUE(contains(rank.message(), "block_timeout to wait longer"));
  EXPECT_EQ(rank.error.timestep, 3);
  EXPECT_EQ(rank.error.rank, 0);
  EXPECT_EQ(rank.send("t", 0, 4), DEISA_ERROR_TIMEOUT);
  // The same rank goes on when there is room again.
  node.open_gate();
  EXPECT_EQ(rank.send("t", 0, 4), DEISA_OK) << rank.message();
}

// As when a rank has died: nobody can agree any more, but what is on the others can be complete.
TEST_F(AdmissionTest, DropWaitsWhenTheRanksCannotAgreeAnyMore) {
  static bool dead;
  dead = false;
  ThreadWorld alone(1);
  deisa_communicator table = alone.table(0);
  table.gather = [](void*, const void* sent, size_t bytes, void* received, int32_t, double,
                    deisa_error*) -> deisa_status {
    if (dead) return DEISA_ERROR_COMMUNICATOR;
    std::memcpy(received, sent, bytes);
    return DEISA_OK;
  };
  rank.options.communicator = &table;
  rank.options.when_full = DEISA_WHEN_FULL_SKIP;
  rank.options.send_timeout = 20;
  start();
  refuse_all();
  EXPECT_EQ(rank.begin(1), DEISA_SKIPPED);
  dead = true;
  EXPECT_EQ(rank.begin(2), DEISA_ERROR_COMMUNICATOR) << "said once";
  node.on_ask([](FakeNode& n, const FakeNode::Ask& ask) {
    EXPECT_TRUE(ask.waits);
    n.answer(ask, false, ask.timestep, kWhy);
  });
  ASSERT_EQ(rank.begin(3), DEISA_OK) << rank.message();
  EXPECT_EQ(rank.put("t", 1), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(skipped(), 1);
}

TEST_F(AdmissionTest, ANodeActorThatDoesNotAnswerIsTheReason) {
  rank.options.block_timeout = 0.05;
  start();
  node.on_ask([](FakeNode&, const FakeNode::Ask&) {});
  EXPECT_EQ(rank.begin(3), DEISA_ERROR_TIMEOUT);
  EXPECT_TRUE(contains(rank.message(), "s: it is busy, or waits for Ray"));
  EXPECT_FALSE(contains(rank.message(), "81 % full")) << "that was before";
}

TEST_F(AdmissionTest, FailSaysSoAtOnce) {
  rank.options.when_full = DEISA_WHEN_FULL_FAIL;
  start();
  refuse_all();
  EXPECT_EQ(rank.begin(3), DEISA_ERROR_RESOURCE);
  EXPECT_TRUE(contains(rank.message(), kWhy));
  EXPECT_EQ(rank.send("t", 0, 3), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(count(node.log(), "ASK 0 t=3 waits"), 0u);
  EXPECT_EQ(count(node.log(), "ASK 0 t=3"), 2u) << "each time the answer is that of now";
  EXPECT_EQ(skipped(), 0);
}

TEST_F(AdmissionTest, FailCountsTheStepThatAHandlerWasToldOf) {
  rank.options.when_full = DEISA_WHEN_FULL_FAIL;
  rank.options.error_mode = DEISA_ERRORS_REPORT;
  rank.options.error_handler = [](void*, const deisa_error*) {};
  start();
  refuse_all();
  EXPECT_EQ(rank.begin(3), DEISA_REPORTED);
  EXPECT_EQ(rank.put("t", 0), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(skipped(), 1);
  EXPECT_EQ(node.chunks().size(), 0u);
}

TEST_F(AdmissionTest, DropLeavesTheStepOut) {
  rank.options.when_full = DEISA_WHEN_FULL_SKIP;
  start();
  refuse_all();
  EXPECT_EQ(rank.begin(3), DEISA_SKIPPED);
  EXPECT_EQ(rank.put("t", 0), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(rank.begin(4), DEISA_SKIPPED);  // without an end, too
  EXPECT_EQ(rank.begin(5), DEISA_SKIPPED);
  node.open_gate();
  deisa_delete(rank.bridge, "nothing", nullptr);
  EXPECT_EQ(rank.begin(5), DEISA_ERROR_CONTRACT) << "the others may be past it";
  EXPECT_EQ(rank.begin(6), DEISA_OK);
  EXPECT_EQ(rank.put("t", 0), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(deisa_flush(rank.bridge, nullptr), DEISA_OK);
  EXPECT_EQ(skipped(), 3);
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].timestep, 6);
  EXPECT_EQ(count(node.log(), "PROGRESS 0 t=4"), 1u)
      << "the node actor does not wait for timestep 3";
}

TEST_F(AdmissionTest, ASendOutsideOfAStepIsNotSkipped) {
  rank.options.when_full = DEISA_WHEN_FULL_SKIP;
  rank.options.send_timeout = 0.05;
  start();
  refuse_all();
  EXPECT_EQ(rank.send("t", 0, 3), DEISA_ERROR_TIMEOUT);
  EXPECT_TRUE(contains(rank.message(), "(send_timeout)"));
  EXPECT_EQ(skipped(), 0);
}

TEST_F(AdmissionTest, ATimestepThatHasBegunIsCompleted) {
  ASSERT_EQ(rank.open(), DEISA_OK);
  ASSERT_EQ(rank.define("t"), DEISA_OK);
  ASSERT_EQ(rank.define("u"), DEISA_OK);
  ASSERT_EQ(rank.ready(), DEISA_OK);
  EXPECT_EQ(rank.send("t", 0, 3), DEISA_OK);
  // The gate has closed before the node actor saw timestep 3.
  node.close_gate(2, kWhy);
  deisa_delete(rank.bridge, "nothing", nullptr);
  refuse_all(2);
  EXPECT_EQ(rank.send("u", 0, 3), DEISA_OK) << rank.message();
  EXPECT_EQ(count(node.log(), "ASK"), 0u);
}

TEST_F(AdmissionTest, MaxInFlightIsALimitToo) {
  rank.options.max_in_flight = 2;
  rank.options.when_full = DEISA_WHEN_FULL_FAIL;
  ASSERT_EQ(rank.open(), DEISA_OK);
  ASSERT_EQ(rank.define("t"), DEISA_OK);
  ASSERT_EQ(rank.ready(), DEISA_OK);
  node.on_step([](FakeNode&, const FakeNode::Step&) {});  // nothing is ever stored
  EXPECT_EQ(rank.send("t", 0, 0), DEISA_OK);
  EXPECT_EQ(rank.send("t", 0, 1), DEISA_OK);
  EXPECT_EQ(rank.send("t", 0, 2), DEISA_ERROR_RESOURCE);
  EXPECT_TRUE(contains(rank.message(), "2 chunks of array 't' are not in the object store yet"));
  EXPECT_TRUE(contains(rank.message(), "max_in_flight is 2"));
}

TEST_F(AdmissionTest, TheNodeActorIsToldTheLimits) {
  rank.options.store_threshold = 0.5;
  rank.options.max_ahead = 6;
  rank.options.window = 3;
  start();
  const auto limits = nlohmann::json::parse(node.last_finalise).at("limits");
  EXPECT_EQ(limits.at("threshold"), 0.5);
  EXPECT_EQ(limits.at("max_ahead"), 6);
  EXPECT_EQ(limits.at("window"), 3);
}

TEST_F(AdmissionTest, TheNodeActorsEndEndsTheWait) {
  start();
  node.on_ask([](FakeNode& n, const FakeNode::Ask&) { n.close_all(); });
  EXPECT_EQ(rank.begin(3), DEISA_ERROR_CONNECTION);
}

constexpr int kRanks = 3;

class AdmissionOfRanks : public ::testing::Test {
 protected:
  void SetUp() override { set_node("", &node); }

  template <typename Program>
  void run(const Program& program, double comm_timeout = 20) {
    std::vector<std::thread> threads;
    for (int r = 0; r < kRanks; ++r) {
      threads.emplace_back([this, r, comm_timeout, &program] {
        Rank rank;
        const deisa_communicator table = world.table(r);
        rank.options.communicator = &table;
        rank.options.error_mode = DEISA_ERRORS_RETURN;
        rank.options.comm_timeout = comm_timeout;
        rank.options.when_full = DEISA_WHEN_FULL_SKIP;
        program(rank, r);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  ThreadWorld world{kRanks};
  FakeNode node;
};

TEST_F(AdmissionOfRanks, OneThatMayNotBeginDropsTheStepOfAll) {
  // Every third timestep is refused to rank 1, and to nobody else.
  node.on_ask([](FakeNode& n, const FakeNode::Ask& ask) {
    const bool admitted = ask.bridge_id != 1 || ask.timestep % 3 != 0;
    n.answer(ask, false, admitted ? ask.timestep : 0, kWhy);
  });
  std::vector<std::vector<int64_t>> sent(kRanks);
  run([&](Rank& rank, int r) {
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    if (r == 1) node.close_gate(0, kWhy);
    deisa_delete(rank.bridge, "nothing", nullptr);
    for (int64_t t = 1; t <= 12; ++t) {
      const deisa_status status = rank.begin(t);
      ASSERT_GE(status, DEISA_OK) << rank.message();
      if (status == DEISA_SKIPPED) continue;
      EXPECT_EQ(rank.put("t", r), DEISA_OK);
      EXPECT_EQ(rank.end(), DEISA_OK);
      sent[static_cast<size_t>(r)].push_back(t);
    }
    deisa_statistics status = {};
    status.struct_size = sizeof(status);
    EXPECT_EQ(deisa_get_statistics(rank.bridge, &status, nullptr), DEISA_OK);
    EXPECT_EQ(status.steps_skipped + status.steps_sent, 12);
    EXPECT_EQ(rank.close(13), DEISA_OK) << rank.message();
  });
  for (const auto& of_rank : sent) {
    EXPECT_EQ(of_rank, (std::vector<int64_t>{1, 2, 4, 5, 7, 8, 10, 11}));
  }
}

TEST_F(AdmissionOfRanks, OneWithAnEarlierFailureDropsTheStepOfAll) {
  node.on_step([](FakeNode& n, const FakeNode::Step& step) {
    if (step.bridge_id == 1 && step.timestep == 1) {
      n.fail(step, DEISA_ERROR_RESOURCE, "no memory", true);
    } else {
      n.store_and_announce(step);
    }
  });
  run([&](Rank& rank, int r) {
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    for (int64_t t = 1; t <= 3; ++t) {
      const deisa_status status = rank.begin(t);
      if (t == 2 && r == 1) {
        EXPECT_EQ(status, DEISA_ERROR_RESOURCE) << rank.message();
        continue;
      }
      EXPECT_EQ(status, t == 2 ? DEISA_SKIPPED : DEISA_OK) << r << " " << t << rank.message();
      EXPECT_EQ(rank.put("t", r), DEISA_OK);
      EXPECT_EQ(rank.end(), DEISA_OK);
      // Its failure has arrived before the next step, and nothing has reported it.
      deisa_statistics now = {};
      now.struct_size = sizeof(now);
      const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (t == 1 && r == 1 && now.chunks_failed == 0) {
        ASSERT_LT(std::chrono::steady_clock::now(), patience);
        ASSERT_EQ(deisa_get_statistics(rank.bridge, &now, nullptr), DEISA_OK);
      }
    }
  });
}

TEST_F(AdmissionOfRanks, TheVoteOutlastsARankThatWaitsForRoom) {
  node.on_ask([](FakeNode&, const FakeNode::Ask&) {});
  run(
      [&](Rank& rank, int r) {
        rank.options.block_timeout = 3.5;
        ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
        ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
        ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
        if (r == 1) {
          node.close_gate(0, kWhy);
          deisa_delete(rank.bridge, "nothing", nullptr);
        }
        EXPECT_EQ(rank.begin(1), DEISA_SKIPPED) << rank.message();
      },
      3);
}

TEST_F(AdmissionOfRanks, OptionsThatDifferAreNamedToAll) {
  run([&](Rank& rank, int r) {
    if (r == 2) rank.options.when_full = DEISA_WHEN_FULL_BLOCK;
    if (r == 1) rank.options.max_ahead = 4;
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t", r, kRanks), DEISA_OK);
    EXPECT_EQ(rank.ready(), DEISA_ERROR_CONTRACT);
    EXPECT_TRUE(contains(rank.message(), "option when_full = block on rank 2, but skip on rank 0"));
    EXPECT_TRUE(contains(rank.message(), "option max_ahead = 4 on rank 1, but 0 on rank 0"));
  });
}

}  // namespace
}  // namespace deisa::testing
