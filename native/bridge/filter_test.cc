// Which arrays are sent, and how often, as a settings file says; against a node actor that the test
// plays.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"
#include "bridge/testing/thread_communicator.hpp"

namespace deisa::testing {
namespace {

class FilterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    char name[] = "/tmp/deisa-filter-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder = name;
    rank.options.error_mode = DEISA_ERRORS_RETURN;
    rank.options.send_timeout = 20;
  }
  void TearDown() override {
    ::unsetenv("DEISA_CONFIG");
    std::filesystem::remove_all(folder);
  }
  void choose(const std::string& arrays) const {
    const std::string path = folder + "/settings.json";
    std::ofstream(path) << R"({"arrays": )" << arrays << "}";
    ::setenv("DEISA_CONFIG", path.c_str(), 1);
  }
  void start(const std::string& arrays) {
    choose(arrays);
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t"), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("u"), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  }
  deisa_statistics status() {
    deisa_statistics out = {};
    out.struct_size = sizeof(out);
    EXPECT_EQ(deisa_get_statistics(rank.bridge, &out, &rank.error), DEISA_OK);
    return out;
  }
  // The timesteps of an array that the node got; 1 is "t", after the end marker.
  std::vector<int64_t> timesteps(uint32_t array) {
    std::vector<int64_t> found;
    for (const auto& chunk : node.chunks()) {
      if (chunk.array == array) found.push_back(chunk.timestep);
    }
    return found;
  }
  size_t lines(const std::string& text) {
    const auto log = node.log();
    return static_cast<size_t>(std::count_if(log.begin(), log.end(), [&](const std::string& line) {
      return line.find(text) != std::string::npos;
    }));
  }

  FakeNode node;
  Rank rank;
  std::string folder;
};

TEST_F(FilterTest, EveryTenthTimestep) {
  start(R"({"t": {"every": 10}})");
  for (int64_t step = 0; step < 25; ++step) {
    ASSERT_EQ(rank.send("t", 1.0, step), DEISA_OK) << rank.message();
    if (step % 5 == 0) {
      ASSERT_EQ(rank.send("u", 2.0, step), DEISA_OK) << rank.message();
    }
  }
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(timesteps(1), (std::vector<int64_t>{0, 10, 20}));
  EXPECT_EQ(timesteps(2), (std::vector<int64_t>{0, 5, 10, 15, 20}));
  EXPECT_EQ(lines("PROGRESS"), 0u) << "nothing is said about what is left out";
  EXPECT_EQ(status().chunks_sent, 8);
  EXPECT_EQ(status().chunks_filtered, 22);
  EXPECT_EQ(status().steps_sent, 5);
  EXPECT_EQ(status().bytes_copied, 8 * 48);
  EXPECT_EQ(rank.close(25), DEISA_OK) << rank.message();
}

TEST_F(FilterTest, ArraysThatAreNeverSent) {
  start(R"({"*": {"send": false}, "u": {}})");
  EXPECT_EQ(nlohmann::json::parse(node.definition(0, 0)).at("sent"), true) << "the end marker";
  EXPECT_EQ(nlohmann::json::parse(node.definition(0, 1)).at("sent"), false);
  EXPECT_EQ(nlohmann::json::parse(node.definition(0, 2)).at("sent"), true);
  EXPECT_EQ(rank.send("t", 1.0, 3), DEISA_OK);
  EXPECT_EQ(rank.send("u", 1.0, 3), DEISA_OK);
  EXPECT_EQ(rank.close(4), DEISA_OK);
  EXPECT_EQ(node.chunks().size(), 1u);
}

TEST_F(FilterTest, TheContractHoldsForThemToo) {
  start(R"({"t": {"send": false}})");
  ASSERT_EQ(rank.send("t", 1.0, 3), DEISA_OK);
  EXPECT_EQ(rank.send("t", 1.0, 3), DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "was sent before"));
  EXPECT_EQ(rank.send("u", 1.0, 2), DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "this rank is at 3"));
  EXPECT_EQ(rank.send("nope", 1.0, 4), DEISA_ERROR_CONTRACT);
  ASSERT_EQ(rank.begin(4), DEISA_OK);
  ASSERT_EQ(rank.put("t", 1.0), DEISA_OK);
  EXPECT_EQ(rank.put("t", 1.0), DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "put before in step 4"));
  ASSERT_EQ(rank.put("u", 1.0), DEISA_OK);
  ASSERT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(rank.send("t", 1.0, 4), DEISA_ERROR_CONTRACT);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(timesteps(2), (std::vector<int64_t>{4}));
}

TEST_F(FilterTest, AStepWithNothingToSendOnlySaysThatItIsOver) {
  start(R"({"*": {"every": 10}})");
  for (int64_t step = 9; step < 12; ++step) {
    ASSERT_EQ(rank.begin(step), DEISA_OK);
    ASSERT_EQ(rank.put("t", 1.0), DEISA_OK);
    ASSERT_EQ(rank.put("u", 1.0), DEISA_OK);
    ASSERT_EQ(rank.end(), DEISA_OK) << rank.message();
  }
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(lines("STEP"), 1u);
  EXPECT_EQ(lines("STEP 0 t=10 n=2 last"), 1u);
  EXPECT_EQ(lines("PROGRESS 0 t=10"), 1u) << "after timestep 9";
  EXPECT_EQ(status().chunks_filtered, 4);
}

TEST_F(FilterTest, RequestsOfWhatIsLeftOutAreFinished) {
  start(R"({"t": {"send": false}})");
  const auto data = Rank::values(1);
  deisa_request request = 7;
  EXPECT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 0, &request, &rank.error),
            DEISA_OK);
  EXPECT_EQ(request, 0u);
  EXPECT_EQ(deisa_wait(rank.bridge, &request, &rank.error), DEISA_OK);
}

TEST_F(FilterTest, LoansTakeTurns) {
  start(R"({"t": {"every": 10}})");
  void* buffer = nullptr;
  ASSERT_EQ(deisa_loan(rank.bridge, "t", &buffer, nullptr, &rank.error), DEISA_OK);
  for (int64_t step = 0; step < 21; ++step) {
    const double before = static_cast<double>(step);
    static_cast<double*>(buffer)[0] = before;
    const void* given = buffer;
    ASSERT_EQ(send_from(rank.bridge, "t", loan(&buffer), step, nullptr, &rank.error), DEISA_OK);
    ASSERT_NE(buffer, given);
    EXPECT_EQ(static_cast<const double*>(given)[0], before) << "it may still be read";
  }
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(timesteps(1), (std::vector<int64_t>{0, 10, 20}));
}

TEST_F(FilterTest, AnArrayThatNobodyDefinesIsRefused) {
  choose(R"({"temprature": {"every": 10}})");
  ASSERT_EQ(rank.open(), DEISA_OK);
  ASSERT_EQ(rank.define("temperature"), DEISA_OK);
  EXPECT_EQ(rank.ready(), DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(),
                       "the settings file has arrays.temprature: expected arrays that a bridge "
                       "defines: 'temperature'"));
}

// A rank whose arrays are seldom sent must not hold the others' announcements.
TEST_F(FilterTest, RanksWithOtherArraysSayHowFarTheyAre) {
  choose(R"({"seldom": {"every": 10}})");
  ThreadWorld world(2);
  std::vector<std::thread> threads;
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&world, r] {
      Rank one;
      const deisa_communicator table = world.table(r);
      one.options.communicator = &table;
      one.options.error_mode = DEISA_ERRORS_RETURN;
      one.options.comm_timeout = 20;
      const char* array = r == 0 ? "often" : "seldom";
      ASSERT_EQ(one.open(), DEISA_OK) << one.message();
      ASSERT_EQ(one.define(array), DEISA_OK);
      ASSERT_EQ(one.ready(), DEISA_OK) << one.message();
      for (int64_t step = 0; step < 12; ++step) {
        ASSERT_EQ(one.send(array, 1.0, step), DEISA_OK) << one.message();
      }
      EXPECT_EQ(one.close(12), DEISA_OK) << one.message();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(node.chunks().size(), 12u + 2u);
  const auto log = node.log();
  for (const char* line : {"PROGRESS 1 t=1", "PROGRESS 1 t=9", "PROGRESS 1 t=11"}) {
    EXPECT_EQ(std::count(log.begin(), log.end(), line), 1) << line;
  }
  EXPECT_EQ(std::count(log.begin(), log.end(), "PROGRESS 0 t=1"), 0);
}

TEST_F(FilterTest, TheStatusIsPrintedAtTheEnd) {
  ::setenv("DEISA_STATUS", "1", 1);
  start(R"({"u": {"send": false}})");
  ::unsetenv("DEISA_STATUS");
  for (int64_t step = 0; step < 3; ++step) {
    ASSERT_EQ(rank.send("t", 1.0, step), DEISA_OK);
    ASSERT_EQ(rank.send("u", 1.0, step), DEISA_OK);
  }
  ::testing::internal::CaptureStderr();
  ASSERT_EQ(rank.close(3), DEISA_OK);
  const std::string text = ::testing::internal::GetCapturedStderr();
  for (const char* part :
       {"deisa: rank 0 of 1 closed\n", "  timesteps  3 sent, 0 skipped\n",
        "  chunks     3 sent, 3 stored, 3 announced, 0 failed, 0 lost, 0 in flight, 3 filtered\n",
        "  bytes      0.0 MiB sent", "  blocked    0."}) {
    EXPECT_TRUE(contains(text, part));
  }
}

TEST_F(FilterTest, NoStatusUnlessAskedFor) {
  start("{}");
  ::testing::internal::CaptureStderr();
  ASSERT_EQ(rank.close(3), DEISA_OK);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(FilterTest, StatisticsNeedTheirSize) {
  start("{}");
  deisa_statistics out = DEISA_STATISTICS_INIT;
  --out.struct_size;
  EXPECT_EQ(deisa_get_statistics(rank.bridge, &out, &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "start from DEISA_STATISTICS_INIT"));
}

}  // namespace
}  // namespace deisa::testing
