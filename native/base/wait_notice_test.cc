#include "base/wait_notice.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <future>
#include <thread>

namespace deisa {
namespace {

WaitNotice::Text text() { return {"rank 1", "Start it."}; }

TEST(WaitNotice, IsSaidOnceWhenItIsDue) {
  const Deadline limit = Deadline::after(60);
  WaitNotice notice(0.05, limit, text);
  ::testing::internal::CaptureStderr();
  notice.look();
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "") << "too early";
  EXPECT_LE(notice.poll_timeout(limit), 51);
  ::testing::internal::CaptureStderr();
  ::poll(nullptr, 0, 60);
  notice.look();
  notice.look();
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(said.rfind("deisa: rank 0 has waited 0.05 s for rank 1, and goes on for at most ", 0),
            0u)
      << said;
  EXPECT_EQ(said.find("Start it.\n"), said.size() - 10) << said;
  EXPECT_GT(notice.poll_timeout(limit), 1000) << "nothing more to say";
}

TEST(WaitNotice, IsNotSaidWhenItIsOff) {
  WaitNotice notice(0, Deadline::after(60), text);
  ::testing::internal::CaptureStderr();
  notice.look();
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(notice.poll_timeout(Deadline::after(60)), 1000);
}

TEST(WaitNotice, AThreadLooksWhileACallBlocks) {
  std::promise<void> asked;
  ::testing::internal::CaptureStderr();
  {
    const BlockingWaitNotice notice(0.01, Deadline::after(60), [&] {
      asked.set_value();
      return text();
    });
    asked.get_future().wait();
  }
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("for rank 1, and goes on"),
            std::string::npos);
  ::testing::internal::CaptureStderr();
  {
    const BlockingWaitNotice notice(60, Deadline::after(120), text);
  }
  {
    const BlockingWaitNotice notice(0, Deadline::after(120), text);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "") << "waits that were short, and none";
}

}  // namespace
}  // namespace deisa
