#include "base/wait_notice.hpp"

#include <unistd.h>

#include "base/number.hpp"
#include "base/shortage.hpp"

namespace deisa {
namespace {

std::string whole(double seconds) { return fixed_text(seconds, 0) + " s"; }

}  // namespace

void WaitNotice::look() noexcept {
  if (said_ || !due_.expired()) return;
  said_ = true;
  try {
    const Text text = text_();
    const std::string line = "deisa: rank 0 has waited " + number_text(after_) + " s for " +
                             text.whom + ", and goes on for at most " + whole(limit_.seconds()) +
                             ". " + text.advice + "\n";
    // In one piece, so that it does not mix with the lines of other processes.
    (void)!::write(STDERR_FILENO, line.data(), line.size());
  } catch (...) {
    // A line less.
  }
}

BlockingWaitNotice::BlockingWaitNotice(double after, const Deadline& limit,
                                       std::function<WaitNotice::Text()> text)
    : notice_(after, limit, std::move(text)) {
  if (after <= 0 || limit.seconds() <= after) return;
  try {
    thread_ = start_thread("a notice", [this, due = Deadline::after(after)] {
      std::unique_lock<std::mutex> lock(mutex_);
      if (ended_.wait_until(lock, due.time_point(), [this] { return over_; })) return;
      lock.unlock();
      notice_.look();
    });
  } catch (const Error&) {
    // No thread: a line less.
  }
}

BlockingWaitNotice::~BlockingWaitNotice() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

}  // namespace deisa
