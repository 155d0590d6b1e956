// What belongs to the simulation and must be as it was after Java or Ray has started: signal
// handlers, the signal mask and environment variables.
#pragma once

#include <csignal>
#include <optional>
#include <string>
#include <vector>

namespace deisa {

// Remembers how every signal is handled, and puts that back in restore() and at its end, except for
// the signals that the JVM cannot work without (see jvm.hpp).
class SignalHandlers {
 public:
  // `kept`: a further signal that is left to the JVM, or 0.
  explicit SignalHandlers(int kept = 0);
  ~SignalHandlers() { restore(); }
  SignalHandlers(const SignalHandlers&) = delete;
  SignalHandlers& operator=(const SignalHandlers&) = delete;
  void restore() noexcept;

 private:
  std::vector<std::pair<int, struct sigaction>> saved_;
};

// A real-time signal that nobody handles, or 0: what the JVM may use instead of SIGUSR2.
int unused_signal();

// Blocks every signal that can be blocked on the calling thread, and so on the threads it makes,
// but for those that a fault raises on the thread itself. The simulation's signals then reach its
// own threads.
void block_signals_of_this_thread() noexcept;

// Blocks them for a scope, for the making of a thread.
class BlockedSignals {
 public:
  BlockedSignals() noexcept;
  ~BlockedSignals();
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

// Sets an environment variable for a scope. setenv() is not safe against getenv() on other threads
// of the simulation, which cannot be helped: Ray and the JVM read them nowhere else.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value);
  ~ScopedVariable();
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  std::string name_;
  std::optional<std::string> before_;
};

}  // namespace deisa
