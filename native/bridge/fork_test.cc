// Children that are forked from a rank: what they do to their copies does nothing, and hides nothing.
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <future>
#include <thread>

#include "base/testing/forked_child.hpp"
#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

namespace deisa::testing {
namespace {

constexpr int kHangs = -1000;

// The exit status of a forked child that runs `body`, or minus its signal. A child that hangs is
// killed.
int in_child(const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::alarm(20);
    body();
    std::exit(0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  return WTERMSIG(status) == SIGALRM ? kHangs : -WTERMSIG(status);
}

class ForkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    rank.options.error_mode = DEISA_ERRORS_RETURN;
    rank.options.send_timeout = 20;
  }
  void start() {
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t"), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  }

  FakeNode node;
  Rank rank;
};

TEST_F(ForkTest, ACallInAChildDoesNothingAndSaysWhy) {
  start();
  ASSERT_EQ(rank.send("t", 1, 0), DEISA_OK) << rank.message();
  const std::string parent = std::to_string(::getpid());
  const auto inherited = [&](deisa_status status) {
    if (status == DEISA_ERROR_CONTRACT && rank.error.rank == 0 &&
        rank.message().find("opened by process " + parent) != std::string::npos) {
      return;
    }
    std::fprintf(stderr, "%d: %s\n", status, rank.error.message);
    std::_Exit(1);
  };
  EXPECT_EQ(in_child([&] {
              deisa_statistics now = {};
              now.struct_size = sizeof(now);
              double value = 0;
              inherited(rank.send("t", 2, 1));
              inherited(rank.begin(1));
              inherited(rank.put("t", 2));
              inherited(rank.define("u"));
              inherited(deisa_flush(rank.bridge, &rank.error));
              inherited(deisa_get_statistics(rank.bridge, &now, &rank.error));
              inherited(deisa_get_double(rank.bridge, "k", nullptr, &value, &rank.error));
              inherited(rank.close(9));
              if (rank.bridge != nullptr) std::_Exit(2);
            }),
            0);
  ASSERT_EQ(rank.send("t", 3, 1), DEISA_OK) << rank.message();
  ASSERT_EQ(rank.close(1), DEISA_OK) << rank.message();
  EXPECT_EQ(node.chunks().size(), 2u);
}

TEST_F(ForkTest, AChildThatLeavesEndsNothingOfItsParent) {
  start();
  EXPECT_EQ(in_child([&] { deisa_abandon(&rank.bridge); }), 0);
  EXPECT_EQ(in_child([&] {}), 0);
  ASSERT_EQ(rank.send("t", 1, 0), DEISA_OK) << rank.message();
  ASSERT_EQ(rank.close(0), DEISA_OK) << rank.message();
  const auto log = node.log();
  EXPECT_EQ(std::count(log.begin(), log.end(), "BYE 0 abandoned"), 0);
  EXPECT_EQ(std::count(log.begin(), log.end(), "LOST 0"), 0);
}

TEST_F(ForkTest, AChildIsNotHeldByACallThatItsParentIsIn) {
  std::promise<void> sent;
  node.on_step([&](FakeNode&, const FakeNode::Step&) { sent.set_value(); });
  rank.options.acknowledge = DEISA_ACK_STORED;
  start();
  std::thread sending([&] {
    deisa_error ignored = {};
    const auto data = Rank::values(1);
    deisa_send(rank.bridge, "t", data.data(), 0, &ignored);
  });
  sent.get_future().wait();  // the call holds the bridge's mutex and waits
  EXPECT_EQ(in_child([&] {
              if (rank.send("t", 2, 1) != DEISA_ERROR_CONTRACT) std::_Exit(1);
              deisa_abandon(&rank.bridge);
            }),
            0);
  node.close_all();
  sending.join();
}

// ThreadSanitizer cannot follow threads that the child of a process with threads starts.
#if !defined(__SANITIZE_THREAD__)
TEST_F(ForkTest, AChildHidesNoDeathFromTheNodeActor) {
  int last[2];  // ends when the test does, and with it the child
  ASSERT_EQ(::pipe(last), 0);
  const pid_t process = ::fork();
  if (process == 0) {
    ::close(last[1]);
    start();
    if (::fork() == 0) {
      char byte = 0;
      while (::read(last[0], &byte, 1) < 0) {
      }
      std::_Exit(0);
    }
    ::raise(SIGKILL);
  }
  ::close(last[0]);
  EXPECT_TRUE(node.wait_until_left(1)) << "the child keeps the connection open";
  ::close(last[1]);
  int status = 0;
  ::waitpid(process, &status, 0);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}
#endif

}  // namespace
}  // namespace deisa::testing
