// Rank 0 says for whom it waits.
#include <cstdlib>
#include <thread>

#include "bridge/testing/captured_stderr.hpp"
#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"
#include "bridge/testing/thread_communicator.hpp"

namespace deisa::testing {
namespace {

class NoticeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("DEISA_WAIT_NOTICE", "0.02", 1);
    set_node("", &node);
    rank.options.error_mode = DEISA_ERRORS_RETURN;
  }
  void TearDown() override { ::unsetenv("DEISA_WAIT_NOTICE"); }
  void start() {
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t"), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  }
  // Until the line that has this part; lines of waits that happened to take long may come before.
  bool hears(const std::string& part) {
    while (true) {
      const std::string line = captured.line();
      if (line.empty()) return false;
      if (line.find("deisa: rank 0 has waited 0.02 s for " + part) == 0 &&
          line.find(", and goes on for at most ") != std::string::npos) {
        return true;
      }
    }
  }

  FakeNode node;
  Rank rank;
  CapturedStderr captured;
};

TEST_F(NoticeTest, AnalyticsThatHaveNotStarted) {
  bool heard = false;
  node.while_finalising = [&] { heard = hears("the analytics to start"); };
  start();
  EXPECT_TRUE(heard);
}

TEST_F(NoticeTest, RoomForATimestep) {
  start();
  node.close_gate(0, "the object store is full");
  ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK) << rank.message();
  bool heard = false;
  node.on_ask([&](FakeNode& of, const FakeNode::Ask& ask) {
    heard = hears("room for timestep 1: the object store is full");
    of.answer(ask, true, DEISA_NO_TIMESTEP, "");
  });
  EXPECT_EQ(rank.send("t", 0, 1), DEISA_OK) << rank.message();
  EXPECT_TRUE(heard);
}

TEST_F(NoticeTest, AnAcknowledgement) {
  rank.options.acknowledge = DEISA_ACK_ANNOUNCED;
  start();
  bool heard = false;
  node.on_step([&](FakeNode& of, const FakeNode::Step& step) {
    heard = hears("the node actor to say that timestep 7 is announced");
    of.store_and_announce(step);
  });
  EXPECT_EQ(rank.send("t", 0, 7), DEISA_OK) << rank.message();
  EXPECT_TRUE(heard);
}

TEST_F(NoticeTest, RanksThatAreBehindInACollectiveCall) {
  ThreadWorld world(2);
  const deisa_communicator tables[] = {world.table(0), world.table(1)};
  Rank other;
  const auto start = [&](Rank& one, int number) {
    one.options.communicator = &tables[number];
    one.options.when_full = DEISA_WHEN_FULL_SKIP;
    ASSERT_EQ(one.open(), DEISA_OK) << one.message();
    ASSERT_EQ(one.define("t", number, 2), DEISA_OK) << one.message();
    ASSERT_EQ(one.ready(), DEISA_OK) << one.message();
  };
  const auto get = [&](Rank& one) {
    int64_t value = 0;
    return deisa_get_int64(one.bridge, "gain", &*read(DEISA_LATEST, true), &value, &one.error);
  };
  std::thread starting([&] { start(rank, 0); });
  start(other, 1);
  starting.join();
  std::thread beginning([&] { EXPECT_EQ(rank.begin(3), DEISA_OK) << rank.message(); });
  EXPECT_TRUE(hears("the other ranks to say whether timestep 3 may begin"));
  EXPECT_EQ(other.begin(3), DEISA_OK) << other.message();
  beginning.join();
  std::thread asking([&] { EXPECT_EQ(get(rank), DEISA_NOT_FOUND) << rank.message(); });
  EXPECT_TRUE(hears("the other ranks to ask for 'gain' together"));
  EXPECT_EQ(get(other), DEISA_NOT_FOUND) << other.message();
  asking.join();
}

TEST_F(NoticeTest, RanksThatAreNotReadyOrDoNotCloseAndRanksThatNeedNotSayAnything) {
  ThreadWorld world(2);
  const deisa_communicator tables[] = {world.table(0), world.table(1)};
  Rank other;
  rank.options.communicator = &tables[0];
  other.options.communicator = &tables[1];
  ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
  ASSERT_EQ(rank.define("t", 0, 2), DEISA_OK) << rank.message();
  std::thread beside([&] { EXPECT_EQ(rank.ready(), DEISA_OK) << rank.message(); });
  EXPECT_TRUE(hears("the other ranks to call deisa_ready"));
  EXPECT_EQ(other.open(), DEISA_OK) << other.message();
  EXPECT_EQ(other.define("t", 1, 2), DEISA_OK) << other.message();
  EXPECT_EQ(other.ready(), DEISA_OK) << other.message();
  beside.join();
  std::thread closing([&] { EXPECT_EQ(rank.close(0), DEISA_OK) << rank.message(); });
  EXPECT_TRUE(hears("the other ranks to call deisa_close"));
  EXPECT_EQ(other.close(0), DEISA_OK) << other.message();
  closing.join();
}

}  // namespace
}  // namespace deisa::testing
