// What a thread does now and then while it waits for others in this library.
#pragma once

#include <chrono>

namespace deisa {

class WhileWaiting {
 public:
  // Those who wait call run() about as often.
  static constexpr std::chrono::milliseconds kInterval{50};

  // From now on `work(data)` is done whenever this thread waits, until this object ends. It throws
  // nothing. NULL: nothing is done.
  WhileWaiting(void (*work)(void*), void* data) noexcept;
  ~WhileWaiting();
  WhileWaiting(const WhileWaiting&) = delete;
  WhileWaiting& operator=(const WhileWaiting&) = delete;

  static void run() noexcept;

 private:
  void (*work_)(void*);
  void* data_;
  WhileWaiting* before_;
};

}  // namespace deisa
