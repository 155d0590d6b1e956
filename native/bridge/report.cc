#include "bridge/report.hpp"

#include <execinfo.h>
#include <unistd.h>

#include <cstdio>

namespace deisa {
namespace {

void print(const deisa_error& error, bool with_trace) noexcept {
  char where[400];
  int n = std::snprintf(where, sizeof(where), "rank %d", error.rank);
  const auto left = [&] { return sizeof(where) - static_cast<size_t>(n); };
  if (error.array[0] != '\0') n += std::snprintf(where + n, left(), ", array '%s'", error.array);
  if (error.timestep != DEISA_NO_TIMESTEP) {
    n +=
        std::snprintf(where + n, left(), ", timestep %lld", static_cast<long long>(error.timestep));
  }
  std::fprintf(stderr, "deisa: %s: %s: %s\n", where, deisa_status_string(error.status),
               error.message);
  if (with_trace) {
    void* frames[32];
    const int count = ::backtrace(frames, 32);
    std::fprintf(stderr, "deisa: called from:\n");
    std::fflush(stderr);
    ::backtrace_symbols_fd(frames, count, STDERR_FILENO);
  }
  std::fflush(stderr);
}

}  // namespace

deisa_status Reporter::report(const Error& error, deisa_error* out) noexcept {
  deisa_error filled;
  write_error(error, &filled);
  if (mode_ == DEISA_ERRORS_REPORT) {
    if (handler_ != nullptr) {
      try {
        handler_(data_, &filled);
      } catch (...) {
        // A handler written in C++ may throw; nothing crosses the C boundary.
        std::fprintf(stderr, "deisa: the error handler threw an exception; ignored\n");
      }
    } else {
      print(filled, !traced_);
      traced_ = true;
    }
    filled.status = DEISA_REPORTED;
  }
  if (out != nullptr) *out = filled;
  return filled.status;
}

}  // namespace deisa
