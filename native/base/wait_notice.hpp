// One line on stderr when a wait takes long: for whom, how long still, what to do.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/deadline.hpp"

namespace deisa {

// For a wait that looks at it now and then. Says its line once. Lives as long as the wait.
class WaitNotice {
 public:
  struct Text {
    std::string whom;    // "the analytics to start"
    std::string advice;  // whole sentences
  };

  // The line is due after so many seconds; with 0 there is none. `limit` ends the wait. `text` is
  // called once, when the line is due.
  WaitNotice(double after, const Deadline& limit, std::function<Text()> text)
      : due_(Deadline::after(after)),
        limit_(limit),
        text_(std::move(text)),
        said_(after <= 0),
        after_(after) {}
  WaitNotice(const WaitNotice&) = delete;
  WaitNotice& operator=(const WaitNotice&) = delete;

  // Says it if it is due.
  void look() noexcept;
  // For poll(): until `deadline`, or until the line is due.
  int poll_timeout(const Deadline& deadline) const {
    const int most = deadline.poll_timeout();
    return said_ ? most : due_.poll_timeout(most);
  }

 private:
  Deadline due_;
  Deadline limit_;
  std::function<Text()> text_;
  bool said_;
  double after_;
};

// For a wait inside a call that does not come back: a thread of its own looks. `text` is called on
// that thread.
class BlockingWaitNotice {
 public:
  BlockingWaitNotice(double after, const Deadline& limit, std::function<WaitNotice::Text()> text);
  BlockingWaitNotice(double after, const Deadline& limit, std::string whom, std::string advice)
      : BlockingWaitNotice(
            after, limit,
            [text = WaitNotice::Text{std::move(whom), std::move(advice)}] { return text; }) {}
  ~BlockingWaitNotice();
  BlockingWaitNotice(const BlockingWaitNotice&) = delete;
  BlockingWaitNotice& operator=(const BlockingWaitNotice&) = delete;

 private:
  WaitNotice notice_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace deisa
