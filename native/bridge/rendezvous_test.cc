// deisa_ready without a communicator: ranks that meet through Gloo, and all that can keep them from
// it. The ranks are threads of this process, each with a bridge; what comes after the meeting is
// faked.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/deadline.hpp"
#include "base/file_descriptor.hpp"
#include "base/testing/forked_child.hpp"
#include "bridge/testing/captured_stderr.hpp"
#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

namespace deisa::testing {
namespace {

// A socket that is bound to a free port of this machine, and the port.
struct Port {
  Port() : socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    socklen_t length = sizeof(address);
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket.get(), raw, length), 0);
    EXPECT_EQ(::getsockname(socket.get(), raw, &length), 0);
    number = ntohs(address.sin_port);
  }
  FileDescriptor socket;
  int number = 0;
};

class RendezvousTest : public ::testing::Test {
 protected:
  struct Result {
    deisa_status status = DEISA_OK;
    std::string message;
    double seconds = 0;
  };

  void SetUp() override {
    ::setenv("DEISA_GLOO_LIBRARY", DEISA_GLOO, 1);
    set_node("", &node);
    port = Port().number;
  }

  // Starts one rank per element of `ids`, as of a world of `size` ranks; `change` may alter its
  // options. Runs each until it is ready, or is not; the ready ones send and close.
  template <typename Change>
  std::vector<Result> meet(const std::vector<int>& ids, int size, const Change& change) {
    std::vector<Result> results(ids.size());
    std::vector<std::thread> threads;
    for (size_t i = 0; i < ids.size(); ++i) {
      threads.emplace_back([&, i] {
        Rank rank;
        rank.options.bridge_id = ids[i];
        rank.options.world_size = size;
        rank.options.master_port = port;
        rank.options.comm_timeout = 60;
        rank.options.error_mode = DEISA_ERRORS_RETURN;
        change(static_cast<int>(i), rank.options);
        Result& result = results[i];
        ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
        ASSERT_EQ(rank.define("t", ids[i], size), DEISA_OK) << rank.message();
        const auto start = Deadline::Clock::now();
        result.status = rank.ready();
        result.seconds = std::chrono::duration<double>(Deadline::Clock::now() - start).count();
        result.message = rank.message();
        if (result.status != DEISA_OK) return;
        EXPECT_EQ(rank.send("t", ids[i], 0), DEISA_OK) << rank.message();
        EXPECT_EQ(rank.close(1), DEISA_OK) << rank.message();
      });
    }
    for (std::thread& thread : threads) thread.join();
    return results;
  }
  std::vector<Result> meet(const std::vector<int>& ids, int size) {
    return meet(ids, size, [](int, deisa_options&) {});
  }
  void expect_all_ready(const std::vector<Result>& results) {
    for (const Result& result : results) EXPECT_EQ(result.status, DEISA_OK) << result.message;
    EXPECT_EQ(node.chunks().size(), results.size());
  }
  std::string place() const { return "127.0.0.1:" + std::to_string(port); }

  FakeNode node;
  int port = 0;
};

TEST_F(RendezvousTest, RanksMeetSendAndClose) { expect_all_ready(meet({0, 1, 2}, 3)); }

TEST_F(RendezvousTest, OneRankNeedsNobody) { expect_all_ready(meet({0}, 1)); }

TEST_F(RendezvousTest, RankZeroSaysForWhomItWaits) {
  ::setenv("DEISA_WAIT_NOTICE", "0.02", 1);
  CapturedStderr captured;
  const auto results = meet({0, 1, 2}, 3, [&](int i, deisa_options&) {
    if (i != 2) return;
    // Rank 1 may be late, too.
    const std::string line = captured.line();
    EXPECT_TRUE(contains(line, "deisa: rank 0 has waited 0.02 s for rank(s) "));
    EXPECT_TRUE(contains(line, "2 of 3 to come to the rendezvous at " + place()));
  });
  ::unsetenv("DEISA_WAIT_NOTICE");
  expect_all_ready(results);
}

// As on Debian, where a machine's own name resolves to 127.0.1.1.
TEST_F(RendezvousTest, TheMastersNameIs127011) {
  expect_all_ready(meet({0, 1, 2}, 3,
                        [](int, deisa_options& options) { options.master_address = "127.0.1.1"; }));
}

TEST_F(RendezvousTest, EveryRankThatCameSaysWhoDidNot) {
  const auto results =
      meet({0, 2}, 3, [](int, deisa_options& options) { options.comm_timeout = 2; });
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(results[i].status, DEISA_ERROR_TIMEOUT);
    const std::string& said = results[i].message;
    EXPECT_TRUE(contains(said, i == 0 ? "rank 0 of 3:" : "rank 2 of 3:")) << "its rank";
    EXPECT_TRUE(contains(said, "Expected world size 3")) << "the world size";
    EXPECT_TRUE(contains(said, "2 came: 0,2; 1 did not come: 1")) << "who came";
    EXPECT_TRUE(contains(said, place())) << "the master's address and port";
    EXPECT_TRUE(
        contains(said, "Likely causes: a bridge crashed, was never started, or is blocked"));
    EXPECT_GE(results[i].seconds, 1.9);
    EXPECT_LT(results[i].seconds, 20) << "soon after the time-out";
  }
  EXPECT_TRUE(node.log().empty()) << "nobody was contacted";
}

TEST_F(RendezvousTest, WithoutBridgeZeroTheOthersSayThatTheMasterIsMissing) {
  const auto results =
      meet({1, 2}, 3, [](int, deisa_options& options) { options.comm_timeout = 1; });
  for (const Result& result : results) {
    EXPECT_EQ(result.status, DEISA_ERROR_TIMEOUT);
    EXPECT_TRUE(contains(result.message, "of the expected world size 3"));
    EXPECT_TRUE(contains(result.message, place()));
    EXPECT_TRUE(contains(result.message, "Likely causes: bridge 0 crashed, was never started"));
  }
}

TEST_F(RendezvousTest, DifferentWorldSizesAreNamedToBoth) {
  ::setenv("DEISA_SECRET", "a secret", 1);
  const auto results = meet({0, 1}, 2, [](int i, deisa_options& options) {
    if (i == 1) options.world_size = 3;
  });
  ::unsetenv("DEISA_SECRET");
  for (const Result& result : results) {
    EXPECT_EQ(result.status, DEISA_ERROR_ARGUMENT) << result.message;
    EXPECT_TRUE(contains(result.message, "the world sizes differ"));
    EXPECT_LT(result.seconds, 50) << "nobody waits for the time-out";
  }
}

// Rank 0 cannot know that the other is none of a stranger: it waits, and then names it.
TEST_F(RendezvousTest, DifferentWorldSizesAreNamedToBothWithoutASecret) {
  const auto results = meet({0, 1}, 2, [](int i, deisa_options& options) {
    if (i == 1) options.world_size = 3;
    if (i == 0) options.comm_timeout = 2;
  });
  EXPECT_EQ(results[0].status, DEISA_ERROR_TIMEOUT) << results[0].message;
  EXPECT_EQ(results[1].status, DEISA_ERROR_ARGUMENT) << results[1].message;
  for (const Result& result : results) EXPECT_TRUE(contains(result.message, "world sizes differ"));
}

TEST_F(RendezvousTest, TwoRanksWithOneIdAreNamedToAll) {
  const auto results = meet({0, 1, 1}, 3);
  for (const Result& result : results) {
    EXPECT_EQ(result.status, DEISA_ERROR_ARGUMENT) << result.message;
    EXPECT_TRUE(contains(result.message, "two processes came as rank 1"));
    EXPECT_LT(result.seconds, 50) << "nobody waits for the time-out";
  }
}

TEST_F(RendezvousTest, APortInUse) {
  const Port taken;
  ASSERT_EQ(::listen(taken.socket.get(), 1), 0);
  port = taken.number;
  // The other rank meets a listener that says nothing, and hears of rank 0 nevertheless.
  const auto results = meet({0, 1}, 2);
  EXPECT_EQ(results[0].status, DEISA_ERROR_COMMUNICATOR);
  EXPECT_EQ(results[1].status, DEISA_ERROR_COMMUNICATOR);
  EXPECT_TRUE(contains(results[1].message, "rank 0 has given up"));
  for (const Result& result : results) {
    EXPECT_TRUE(contains(result.message, "master_port " + std::to_string(port)));
    EXPECT_TRUE(contains(result.message, "in use by another program"));
    EXPECT_LT(result.seconds, 50) << "nobody waits for the time-out";
  }
}

// A rank that comes when rank 0 has failed already, for a reason of rank 0's own.
TEST_F(RendezvousTest, ALateRankHearsWhyRankZeroHasGivenUp) {
  Rank zero;
  zero.options.bridge_id = 0;
  zero.options.world_size = 3;
  zero.options.master_port = port;
  zero.options.comm_timeout = 0.2;
  zero.options.error_mode = DEISA_ERRORS_RETURN;
  ASSERT_EQ(zero.open(), DEISA_OK) << zero.message();
  ASSERT_EQ(zero.define("t", 0, 3), DEISA_OK) << zero.message();
  EXPECT_EQ(zero.ready(), DEISA_ERROR_TIMEOUT);
  const auto results = meet({1, 2}, 3);
  for (const Result& result : results) {
    EXPECT_EQ(result.status, DEISA_ERROR_TIMEOUT);
    EXPECT_TRUE(contains(result.message, "rank 0 has given up"));
    EXPECT_TRUE(contains(result.message, "2 did not come: 1-2"));
    EXPECT_LT(result.seconds, 50) << "nobody waits for the time-out";
  }
}

// Rank 0 never comes to deisa_ready.
TEST_F(RendezvousTest, TheOthersHearOfAnArrayThatRankZeroCannotDefine) {
  {
    Rank zero;
    zero.options.bridge_id = 0;
    zero.options.world_size = 2;
    zero.options.master_port = port;
    ASSERT_EQ(zero.open(), DEISA_OK) << zero.message();
    EXPECT_EQ(zero.define("t", 7, 2), DEISA_ERROR_ARGUMENT);
  }
  const auto results = meet({1}, 2);
  EXPECT_EQ(results[0].status, DEISA_ERROR_ARGUMENT) << results[0].message;
  EXPECT_TRUE(contains(results[0].message, "rank 0 has given up"));
  EXPECT_TRUE(contains(results[0].message, "array 't'"));
}

// Whenever they come; and a bridge that rank 0 can open is another matter.
TEST_F(RendezvousTest, TheOthersHearOfABridgeThatRankZeroCannotOpen) {
  Rank zero;
  zero.options.bridge_id = 0;
  zero.options.world_size = 2;
  zero.options.master_port = port;
  zero.options.ray_address = "nowhere";
  ASSERT_EQ(zero.open(), DEISA_ERROR_ARGUMENT);
  // Nor does it keep a forked child from ending.
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(30);
    std::exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const auto results = meet({1}, 2);
  EXPECT_EQ(results[0].status, DEISA_ERROR_ARGUMENT) << results[0].message;
  EXPECT_TRUE(contains(results[0].message, "rank 0 has given up: invalid options"));
  EXPECT_TRUE(contains(results[0].message, "ray_address = 'nowhere'"));
  EXPECT_LT(results[0].seconds, 50) << "nobody waits for the time-out";
  // With which the reason is forgotten; else rank 1 may hear it before rank 0 comes.
  zero.options.ray_address = nullptr;
  ASSERT_EQ(zero.open(), DEISA_OK) << zero.message();
  deisa_abandon(&zero.bridge);
  expect_all_ready(meet({0, 1}, 2));
}

TEST_F(RendezvousTest, AMasterThatCannotBeResolved) {
  const auto results = meet({0, 1}, 2, [](int, deisa_options& options) {
    options.master_address = "no-such-host.invalid";
  });
  for (const Result& result : results) {
    EXPECT_EQ(result.status, DEISA_ERROR_ARGUMENT);
    EXPECT_TRUE(contains(result.message, "no-such-host.invalid"));
    EXPECT_TRUE(contains(result.message, "cannot be resolved"));
    EXPECT_LT(result.seconds, 50) << "nobody waits for the time-out";
  }
}

// Talks to the store before, while and after the ranks meet.
TEST_F(RendezvousTest, AStrangersBytesAreIgnored) {
  std::atomic<bool> stop{false};
  std::atomic<int> heard{0};
  std::thread stranger([&] {
    const std::string web = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const std::string zeros(5000, '\0');
    const std::string ones(3, '\xff');
    std::vector<FileDescriptor> silent;  // connects and says nothing
    while (!stop) {
      for (const std::string& bytes : {web, zeros, ones, std::string()}) {
        FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
          std::this_thread::yield();
          continue;
        }
        ++heard;
        if (!bytes.empty()) (void)::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (bytes.empty() && silent.size() < 20) silent.push_back(std::move(socket));
      }
    }
  });
  const auto results = meet({0, 1, 2}, 3, [&](int i, deisa_options&) {
    // The last rank comes when the stranger has been there.
    if (i < 2) return;
    const Deadline deadline = Deadline::after(50);
    while (heard < 30 && !deadline.expired()) std::this_thread::yield();
  });
  stop = true;
  stranger.join();
  EXPECT_GE(heard, 30);
  expect_all_ready(results);
}

// Three ranks as above, which then do what `program(rank, number)` says.
template <typename Program>
void run_three(int port, const Program& program) {
  std::vector<std::thread> threads;
  for (int r = 0; r < 3; ++r) {
    threads.emplace_back([&program, port, r] {
      Rank rank;
      rank.options.bridge_id = r;
      rank.options.world_size = 3;
      rank.options.master_port = port;
      rank.options.comm_timeout = 60;
      program(rank, r);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(RendezvousTest, TheRankThatLeftIsNamedToAllWhoClose) {
  ::setenv("DEISA_BACKEND", "null", 1);
  std::promise<void> closed;
  run_three(port, [&](Rank& rank, int r) {
    rank.options.error_mode = DEISA_ERRORS_RETURN;
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t", r, 3), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    for (int64_t t = 0; t < 4; ++t) ASSERT_EQ(rank.send("t", r, t), DEISA_OK);
    if (r == 1) {
      deisa_abandon(&rank.bridge);
      return;
    }
    // Rank 2 comes when nobody is there any more to be asked.
    if (r == 2) closed.get_future().wait();
    EXPECT_EQ(rank.close(4), DEISA_ERROR_COMMUNICATOR);
    EXPECT_TRUE(contains(rank.message(), "the connection to rank(s) 1 ended in the barrier"));
    if (r == 0) closed.set_value();
  });
  ::unsetenv("DEISA_BACKEND");
}

TEST_F(RendezvousTest, WhatFailsDuringCloseIsReportedWhenItDoes) {
  std::mutex mutex;
  std::vector<FakeNode::Step> steps;
  node.on_step([&](FakeNode& fake, const FakeNode::Step& step) {
    fake.store(step);
    const std::lock_guard<std::mutex> lock(mutex);
    steps.push_back(step);
  });
  std::promise<void> sent, two_reports;
  std::vector<std::string> reports;  // of rank 0
  run_three(port, [&](Rank& rank, int r) {
    struct Told {
      std::vector<std::string>& texts;
      FakeNode& node;
      std::vector<FakeNode::Step>& steps;
      std::promise<void>& done;
      std::thread::id caller;
    } told{reports, node, steps, two_reports, std::this_thread::get_id()};
    if (r == 0) {
      rank.options.error_handler_data = &told;
      rank.options.error_handler = [](void* data, const deisa_error* error) {
        auto& mine = *static_cast<Told*>(data);
        EXPECT_EQ(mine.caller, std::this_thread::get_id());
        mine.texts.emplace_back(error->message);
        if (mine.texts.size() == 1) {  // close is still waiting for this
          mine.node.announce(mine.steps[1]);
          mine.node.notice(mine.steps[1].connection, "the second");
        } else {
          mine.done.set_value();
        }
      };
    }
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    if (r == 0) {
      ASSERT_EQ(rank.define("t"), DEISA_OK) << rank.message();
    }
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    if (r == 0) {
      ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK) << rank.message();
      ASSERT_EQ(rank.send("t", 0, 1), DEISA_OK) << rank.message();
      sent.set_value();
    } else if (r == 1) {
      sent.get_future().wait();
      while (true) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (steps.size() == 2) break;
      }
      node.fail(steps[0], DEISA_ERROR_CONNECTION, "the first", false);
      // The barrier lasts until rank 0 has been told of both.
      two_reports.get_future().wait();
    }
    EXPECT_EQ(rank.close(2), r == 0 ? DEISA_REPORTED : DEISA_OK) << rank.message();
  });
  EXPECT_EQ(reports, (std::vector<std::string>{"an earlier call failed: the first", "the second"}));
}

}  // namespace
}  // namespace deisa::testing
