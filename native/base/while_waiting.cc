#include "base/while_waiting.hpp"

namespace deisa {
namespace {

thread_local WhileWaiting* current = nullptr;

}  // namespace

WhileWaiting::WhileWaiting(void (*work)(void*), void* data) noexcept
    : work_(work), data_(data), before_(current) {
  current = this;
}

WhileWaiting::~WhileWaiting() { current = before_; }

void WhileWaiting::run() noexcept {
  if (current != nullptr && current->work_ != nullptr) current->work_(current->data_);
}

}  // namespace deisa
