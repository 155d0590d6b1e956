#include "jvm/host_state.hpp"

#include <cstdlib>
#include <initializer_list>

namespace deisa {
namespace {

// The JVM raises these on purpose (safepoints, null checks, stack growth) and handles them; those
// that are not its own it passes to the handler that was there before.
constexpr std::initializer_list<int> kFaults = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};

bool is_fault(int number) {
  for (int fault : kFaults) {
    if (fault == number) return true;
  }
  return false;
}

sigset_t all_but_faults() {
  sigset_t set;
  ::sigfillset(&set);
  for (int fault : kFaults) ::sigdelset(&set, fault);
  return set;
}

}  // namespace

SignalHandlers::SignalHandlers(int kept) {
  for (int number = 1; number < NSIG; ++number) {
    struct sigaction action;
    if (is_fault(number) || number == kept || number == SIGKILL || number == SIGSTOP) continue;
    // Fails for the two that the C library keeps for itself.
    if (::sigaction(number, nullptr, &action) == 0) saved_.emplace_back(number, action);
  }
}

void SignalHandlers::restore() noexcept {
  for (const auto& [number, action] : saved_) {
    struct sigaction now;
    if (::sigaction(number, nullptr, &now) != 0) continue;
    if (now.sa_handler != action.sa_handler || now.sa_flags != action.sa_flags) {
      ::sigaction(number, &action, nullptr);
    }
  }
}

int unused_signal() {
  for (int number = SIGRTMAX - 1; number > SIGRTMIN; --number) {
    struct sigaction action;
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) return number;
  }
  return 0;
}

void block_signals_of_this_thread() noexcept {
  const sigset_t set = all_but_faults();
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

BlockedSignals::BlockedSignals() noexcept {
  const sigset_t set = all_but_faults();
  ::pthread_sigmask(SIG_BLOCK, &set, &before_);
}

BlockedSignals::~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

ScopedVariable::ScopedVariable(const char* name, const std::string& value) : name_(name) {
  if (const char* before = std::getenv(name)) before_ = before;
  ::setenv(name, value.c_str(), 1);
}

ScopedVariable::~ScopedVariable() {
  if (before_) {
    ::setenv(name_.c_str(), before_->c_str(), 1);
  } else {
    ::unsetenv(name_.c_str());
  }
}

}  // namespace deisa
