#include "base/shortage.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <future>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

namespace deisa {
namespace {

using ::testing::HasSubstr;

TEST(Shortage, AnErrnoOfALimitSaysHowToRaiseIt) {
  rlimit files = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_THAT(system_text(EMFILE), HasSubstr("may have " + std::to_string(files.rlim_cur)));
  EXPECT_THAT(system_text(EMFILE), HasSubstr("ulimit -n"));
  EXPECT_THAT(system_text(ENOMEM), HasSubstr("ulimit -v"));
  EXPECT_EQ(system_text(ENOENT), "No such file or directory");
  EXPECT_TRUE(is_shortage(EMFILE));
  EXPECT_FALSE(is_shortage(ENOENT));
}

TEST(Shortage, AThreadHasNoSignals) {
  sigset_t blocked, before;
  sigemptyset(&blocked);
  start_thread("a test", [&] { pthread_sigmask(SIG_BLOCK, nullptr, &blocked); }).join();
  EXPECT_EQ(sigismember(&blocked, SIGUSR2), 1);
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  EXPECT_EQ(sigismember(&before, SIGUSR2), 0);
}

// The sanitizers end a process that gets no memory.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Shortage, AThreadThatTheSystemRefusesIsAnError) {
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  const rlimit low = {1 << 20, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &low), 0);
  std::string message;
  std::promise<void> end;
  const std::shared_future<void> over = end.get_future().share();
  std::vector<std::thread> threads;  // the first ones may get the stacks of threads that have ended
  try {
    for (int i = 0; i < 1000; ++i) {
      threads.push_back(start_thread("a test", [over] { over.wait(); }));
    }
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_RESOURCE);
    message = error.what();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &before), 0);
  end.set_value();
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(message, HasSubstr("no thread can be started for a test"));
  EXPECT_THAT(message, HasSubstr("ulimit -u"));
}
#endif

TEST(Shortage, AnyExceptionIsAnError) {
  const Error known = as_error(Error(DEISA_ERROR_TIMEOUT, "late").at_rank(3));
  EXPECT_EQ(known.status(), DEISA_ERROR_TIMEOUT);
  EXPECT_EQ(known.rank(), 3);
  deisa_error error = {};
  EXPECT_EQ(write_exception(std::bad_alloc(), 2, &error), DEISA_ERROR_RESOURCE);
  EXPECT_THAT(error.message, HasSubstr("out of memory"));
  EXPECT_EQ(error.rank, 2);
  EXPECT_EQ(write_exception(std::runtime_error("why"), -1, &error), DEISA_ERROR_INTERNAL);
  EXPECT_STREQ(error.message, "unexpected: why");
}

}  // namespace
}  // namespace deisa
