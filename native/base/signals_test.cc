#include "base/signals.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace deisa {
namespace {

void write_to_dead_peer() {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ::close(ends[1]);
  EXPECT_EQ(::write(ends[0], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  ::close(ends[0]);
}

bool sigpipe_is_pending() {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, SIGPIPE) == 1;
}

TEST(NoSigpipe, SurvivesAWriteToADeadPeer) {
  {
    const NoSigpipe no_sigpipe;
    write_to_dead_peer();
  }
  EXPECT_FALSE(sigpipe_is_pending());
}

TEST(NoSigpipe, LeavesASignalOfTheSimulation) {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  write_to_dead_peer();
  {
    const NoSigpipe no_sigpipe;
    write_to_dead_peer();
  }
  EXPECT_TRUE(sigpipe_is_pending());
  const timespec now = {0, 0};
  EXPECT_EQ(sigtimedwait(&pipe, nullptr, &now), SIGPIPE);
  pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
}

TEST(AllSignalsBlocked, EndsWithItsScope) {
  sigset_t before;
  sigset_t inside;
  sigset_t after;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  {
    const AllSignalsBlocked blocked;
    pthread_sigmask(SIG_BLOCK, nullptr, &inside);
  }
  pthread_sigmask(SIG_BLOCK, nullptr, &after);
  EXPECT_EQ(sigismember(&inside, SIGTERM), 1);
  EXPECT_EQ(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

}  // namespace
}  // namespace deisa
