// A point in time on the monotonic clock by which a wait must end.
#pragma once

#include <algorithm>
#include <chrono>
#include <climits>

namespace deisa {

class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  // `seconds` from now. More than ten years count as ten years, so that nothing overflows.
  static Deadline after(double seconds) {
    const double bounded = std::clamp(seconds, 0.0, 3.2e8);
    return Deadline(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(bounded)));
  }

  bool expired() const { return Clock::now() >= at_; }
  // Seconds left, never negative.
  double seconds() const {
    return std::max(0.0, std::chrono::duration<double>(at_ - Clock::now()).count());
  }
  // Milliseconds left for poll(), rounded up, at most `cap`.
  int poll_timeout(int cap = INT_MAX) const {
    return static_cast<int>(std::min(seconds() * 1e3 + 0.999, static_cast<double>(cap)));
  }
  Clock::time_point time_point() const { return at_; }

 private:
  explicit Deadline(Clock::time_point at) : at_(at) {}
  Clock::time_point at_;
};

}  // namespace deisa
