// The process's JVM and the one thread that talks to it.
//
// - A JVM that is there (a Java simulation) is used and otherwise left alone.
// - Else one is started, on a thread of its own: a JVM protects the lower part of the stack of the
// thread
//   it is started on, and the simulation's main thread may need all of its stack.
// - A JVM is never destroyed, since a process cannot start a second one.
// - With a JVM of ours, Java's threads block every signal, and the simulation's handlers stay in
//   place, but for SIGSEGV, SIGBUS, SIGFPE and SIGILL: the JVM needs them, and calls the
//   simulation's earlier handler when a fault is not its own. It suspends threads with a free
//   real-time signal instead of SIGUSR2. Preloading the JDK's libjsig.so lets a program install
//   handlers of these signals later, too.
#pragma once

#include <jni.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/error.hpp"

namespace deisa {

class Jvm {
 public:
  // The process has one, like the JVM itself. It lives until the process ends.
  static Jvm& of_this_process();

  // Whether this process has a JVM, whoever started it.
  static bool is_there();

  struct Start {
    std::string libjvm;                // path of libjvm.so
    std::vector<std::string> options;  // as on java's command line
    std::string archive;               // what keep_classes() makes, or "": see start_cache.hpp
  };

  // Finds the JVM of this process or starts one. `start` is asked only in the second case, and may
  // throw. Throws Error(DEISA_ERROR_CONNECTION) with what the JVM said; DEISA_ERROR_TIMEOUT.
  void ensure(const std::function<Start()>& start, const Deadline& deadline);

  // Runs `job` on the JVM's thread and waits for it. An Error that it throws is thrown here. When
  // the job does not end in time, this throws Error(DEISA_ERROR_TIMEOUT) that names `what`, and the
  // thread is left alone; until the job ends after all, further calls fail at once. `job` must own
  // what it uses.
  void run(const std::string& what, std::function<void(JNIEnv*)> job, const Deadline& deadline);

  // Makes the archive of Jvm::Start, if there is one to make, once. Takes about a second. Never
  // throws.
  void keep_classes() noexcept;

  // Whether ensure() started the JVM.
  bool is_ours() const;

  // Loads a class on the JVM's thread: with the class loader of use_loader(); else with that of the
  // thread that called ensure(), if it was a Java thread, else with the system's. Call within a
  // job. Throws Error.
  jclass load(JNIEnv* env, const std::string& name) const;

  // Makes `loader` that of load() and of the JVM's thread. Call within a job. Throws Error.
  void use_loader(JNIEnv* env, jobject loader);

 private:
  struct State;
  Jvm();
  std::shared_ptr<State> state_;
};

}  // namespace deisa
