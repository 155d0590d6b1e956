#include "base/trace.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/error.hpp"

namespace deisa {
namespace {

using nlohmann::json;

class TraceTest : public ::testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(file); }
  json read() const { return json::parse(std::ifstream(file)); }

  const std::string file = "/tmp/deisa-trace-" + std::to_string(::getpid()) + ".json";
  const Trace::Clock::time_point start = Trace::Clock::now();
};

TEST_F(TraceTest, SpansOfSeveralProcessesAreOneArray) {
  Trace one(file, "rank 0");
  Trace other(file, "node \"a\"");
  one.begin();
  one.add("copy", 0, "te\\mp\n\"x\"", 7, start, start + std::chrono::nanoseconds(1500));
  one.flush();
  other.add("put", 3, "", 8, start, start);
  other.flush();
  one.add("copy", 0, "u", 9, start, start, 12345);
  one.flush();
  const json events = read();
  EXPECT_EQ(events[4].at("tid"), 12345);
  ASSERT_EQ(events.size(), 5u) << events.dump(1);
  EXPECT_EQ(events[0].at("args").at("name"), "rank 0");
  EXPECT_EQ(events[2].at("args").at("name"), "node \"a\"");
  const json& copy = events[1];
  EXPECT_EQ(copy.at("name"), "copy");
  EXPECT_EQ(copy.at("ph"), "X");
  EXPECT_EQ(copy.at("dur"), 1.5);
  const std::chrono::duration<double, std::micro> expected = start.time_since_epoch();
  EXPECT_NEAR(copy.at("ts").get<double>(), expected.count(), 1);
  EXPECT_EQ(copy.at("pid"), ::getpid());
  EXPECT_EQ(copy.at("args"), (json{{"rank", 0}, {"array", "te\\mp\n\"x\""}, {"step", 7}}));
  EXPECT_EQ(events[3].at("args"), (json{{"rank", 3}, {"step", 8}}));
}

TEST_F(TraceTest, AnotherRunBeginsAnew) {
  {
    Trace(file, "rank 0").add("copy", 0, "t", 1, start, start);
  }
  Trace again(file, "rank 0");
  again.begin();
  again.flush();
  EXPECT_EQ(read().size(), 1u);
}

// Beyond the limit of file sizes the system sends a signal that ends the process.
TEST_F(TraceTest, AFileThatIsAtTheLimitOfFileSizesStaysAsItIs) {
  Trace(file, "without a limit").flush();
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit low = {16, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  {
    Trace(file, "with one").add("copy", 0, "t", 1, start, start);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(read().size(), 1u);
}

TEST_F(TraceTest, ThreadsAndProcessesThatAreKilledLeaveAnArray) {
  Trace trace(file, "rank 0");
  trace.flush();
  std::vector<pid_t> children;
  for (int child = 1; child <= 3; ++child) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      Trace own(file, "rank " + std::to_string(child));
      for (int64_t step = 0;; ++step) {
        own.add("copy", child, "t", step, start, start);
        own.flush();
      }
    }
    children.push_back(pid);
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int64_t step = 0; step < 200; ++step) {
        trace.add("put", 0, "t", step, start, start);
        trace.flush();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const pid_t pid : children) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  trace.flush();
  int puts = 0;
  for (const json& event : read()) puts += event.at("name") == "put" ? 1 : 0;
  EXPECT_EQ(puts, 400);
}

TEST_F(TraceTest, AFileThatCannotBeOpenedIsAnError) {
  try {
    Trace("/tmp/no/such/folder/trace.json", "rank 0");
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
    EXPECT_NE(std::string(error.what()).find("/tmp/no/such/folder/trace.json"), std::string::npos);
  }
}

TEST(TraceSpan, WithoutATraceDoesNothing) {
  const TraceCall call(nullptr);
  const TraceSpan span(nullptr, "copy", 0, "t", 1);
}

}  // namespace
}  // namespace deisa
