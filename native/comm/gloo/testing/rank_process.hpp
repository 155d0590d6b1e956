// Ranks in processes of their own (gloo_rank.cc), for the tests of the Gloo communicator.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/file_descriptor.hpp"
#include "base/testing/free_port.hpp"

namespace deisa::testing {

// A process with what it prints, which is killed when it outlives its test.
class Process {
 public:
  explicit Process(const std::vector<std::string>& arguments) {
    int out[2];
    int in[2];
    if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(in, O_CLOEXEC) != 0) std::abort();
    std::vector<char*> argv;
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::dup2(out[1], STDERR_FILENO);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(out[1]);
    ::close(in[0]);
    output_ = FileDescriptor(out[0]);
    input_ = FileDescriptor(in[1]);
  }
  ~Process() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void end_input() { input_.reset(); }
  pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }

  // Its exit code, or minus the signal that ended it; the test fails when it takes too long.
  int wait() {
    const Deadline deadline = Deadline::after(60);
    char bytes[4096];
    while (!deadline.expired()) {
      pollfd entry = {output_.get(), POLLIN, 0};
      if (::poll(&entry, 1, deadline.poll_timeout()) <= 0) continue;
      const ssize_t count = ::read(output_.get(), bytes, sizeof(bytes));
      if (count <= 0) break;
      text_.append(bytes, static_cast<size_t>(count));
    }
    if (deadline.expired()) {
      ADD_FAILURE() << "a rank hangs";
      ::kill(pid_, SIGKILL);
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  const std::string& text() const { return text_; }

 private:
  pid_t pid_ = -1;
  FileDescriptor output_;
  FileDescriptor input_;
  std::string text_;
};

struct Job {
  int size = 4;
  std::string address = "127.0.0.1";
  std::string timeout = "30";
  int port = free_port();

  std::vector<std::string> nodes = {};  // by rank; empty: all on this one

  std::unique_ptr<Process> rank(int rank, const std::string& scenario = "exchange") const {
    const auto at = static_cast<size_t>(rank);
    ::setenv("DEISA_GLOO_NODE", nodes.empty() ? "" : nodes.at(at).c_str(), 1);
    return std::make_unique<Process>(
        std::vector<std::string>{GLOO_RANK, std::to_string(rank), std::to_string(size), address,
                                 std::to_string(port), timeout, scenario});
  }
  std::vector<std::unique_ptr<Process>> all(const std::string& scenario) const {
    std::vector<std::unique_ptr<Process>> ranks;
    for (int i = 0; i < size; ++i) ranks.push_back(rank(i, scenario));
    return ranks;
  }
};

inline void expect(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << part << "\" is not in: " << text;
}

class GlooTest : public ::testing::Test {
 protected:
  void SetUp() override { ::setenv("DEISA_GLOO_LIBRARY", GLOO_LIBRARY, 1); }
  void TearDown() override {
    ::unsetenv("DEISA_SECRET");
    ::unsetenv("DEISA_GLOO_NODE");
  }
};

}  // namespace deisa::testing
