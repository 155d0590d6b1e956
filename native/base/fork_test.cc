#include "base/fork.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "base/file_descriptor.hpp"

namespace deisa {
namespace {

// What `body` returns in a forked child.
int in_child(const std::function<int()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(body());
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool is_socket(int fd) {
  struct stat status = {};
  return ::fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

struct Pair {
  int ends[2] = {-1, -1};
  Pair() {
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::abort();
  }
};

TEST(Fork, AnObjectKnowsTheProcessThatMadeIt) {
  const OwnProcess process;
  EXPECT_TRUE(process.is_this());
  EXPECT_EQ(process.pid(), ::getpid());
  EXPECT_EQ(in_child([&] { return process.is_this() ? 1 : OwnProcess().is_this() ? 0 : 2; }), 0);
  EXPECT_TRUE(process.is_this());
}

TEST(Fork, AChildDoesNotKeepADescriptorOpen) {
  Pair pair;
  FileDescriptor ours(pair.ends[0]);
  const FileDescriptor theirs(pair.ends[1]);
  const pid_t child = ::fork();
  if (child == 0) {
    while (true) ::pause();
  }
  ours.reset();
  pollfd end = {theirs.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&end, 1, 10000), 1) << "the child keeps the connection open";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST(Fork, TheNumberOfADescriptorStaysTakenInAChild) {
  Pair pair;
  const FileDescriptor a(pair.ends[0]), b(pair.ends[1]);
  EXPECT_EQ(in_child([&] {
              if (is_socket(a.get()) || is_socket(b.get())) return 1;
              if (::fcntl(a.get(), F_GETFD) != FD_CLOEXEC) return 2;
              return ::write(a.get(), "x", 1) < 0 ? 0 : 3;
            }),
            0);
  EXPECT_TRUE(is_socket(a.get()));
}

TEST(Fork, WhatWasClosedOrGivenAwayIsNobodysInAChild) {
  Pair first;
  FileDescriptor closed(first.ends[0]), given(first.ends[1]);
  const int kept = given.release();
  const int number = closed.get();
  closed.reset();
  Pair second;
  ASSERT_TRUE(second.ends[0] == number || second.ends[1] == number) << "the lowest free number";
  EXPECT_EQ(in_child([&] { return is_socket(kept) && is_socket(number) ? 0 : 1; }), 0);
  for (const int fd : {kept, second.ends[0], second.ends[1]}) ::close(fd);
}

TEST(Fork, ASocketOfAnotherLibraryIsClosedInAChildUnlessItsNumberIsUsedAgain) {
  Pair pair;
  const ForeignSocket a(pair.ends[0]);
  const ForeignSocket b(pair.ends[1]);
  EXPECT_EQ(::fcntl(pair.ends[0], F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(in_child([&] { return is_socket(pair.ends[0]) || is_socket(pair.ends[1]) ? 1 : 0; }),
            0);
  ::close(pair.ends[0]);
  Pair other;
  ASSERT_EQ(other.ends[0], pair.ends[0]);
  EXPECT_EQ(in_child([&] { return is_socket(other.ends[0]) && !is_socket(pair.ends[1]) ? 0 : 1; }),
            0);
  for (const int fd : {pair.ends[1], other.ends[0], other.ends[1]}) ::close(fd);
}

}  // namespace
}  // namespace deisa
