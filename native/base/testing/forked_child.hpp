// For tests that fork and let the child exit as programs do.
#pragma once

#include <unistd.h>

namespace deisa::testing {

inline const pid_t parent_process = ::getpid();

}  // namespace deisa::testing

// Asked by the leak sanitizer at exit. A forked child does not have its parent's threads, so that the sanitizer would
// take whatever they held for lost.
extern "C" __attribute__((used, visibility("default"))) inline int __lsan_is_turned_off() {
  return ::getpid() == deisa::testing::parent_process ? 0 : 1;
}
