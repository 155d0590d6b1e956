#include "capi/report.hpp"

#include <execinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace deisa {
namespace {

std::string where(const Error& error) {
  std::string text = "rank " + std::to_string(error.rank());
  if (!error.array().empty()) text += ", array '" + error.array() + "'";
  if (error.timestep() != DEISA_NO_TIMESTEP) {
    text += ", timestep " + std::to_string(error.timestep());
  }
  return text;
}

void print(const deisa_error& error) noexcept {
  char timestep[40] = "";
  if (error.timestep != DEISA_NO_TIMESTEP) {
    std::snprintf(timestep, sizeof(timestep), ", timestep %lld",
                  static_cast<long long>(error.timestep));
  }
  const bool has_array = error.array[0] != '\0';
  std::fprintf(stderr, "deisa: rank %d%s%s%s%s: %s: %s\n", error.rank, has_array ? ", array '" : "",
               error.array, has_array ? "'" : "", timestep, deisa_status_string(error.status),
               error.message);
  if (error.status != DEISA_ERROR_INTERNAL) return;
  void* frames[32];
  const int count = ::backtrace(frames, 32);
  std::fprintf(stderr, "deisa: called from:\n");
  std::fflush(stderr);
  ::backtrace_symbols_fd(frames, count, STDERR_FILENO);
}

// The first, whose message says what the others were.
Error joined(const std::vector<Error>& failures) {
  const Error& first = failures.front();
  if (failures.size() == 1) return first;
  std::string message = first.what();
  for (size_t i = 1; i < failures.size(); ++i) {
    const auto same = [&](const Error& one) {
      return std::string(one.what()) == failures[i].what();
    };
    if (std::any_of(failures.begin(), failures.begin() + static_cast<ptrdiff_t>(i), same)) continue;
    message += "\nAlso, " + where(failures[i]) + ": " + described(failures[i]);
  }
  Error all(first.status(), message);
  if (first.is_earlier()) all.of_earlier_call();
  return all.at_rank(first.rank()).at_array(first.array()).at_timestep(first.timestep());
}

}  // namespace

void Reporter::handle(const deisa_error& error) noexcept {
  if (handler_ == nullptr) {
    print(error);
    return;
  }
  try {
    handler_(data_, &error);
  } catch (...) {
    // A handler written in C++ may throw; nothing crosses the C boundary.
    std::fprintf(stderr, "deisa: the error handler threw an exception; ignored\n");
  }
}

void Reporter::give(const Error& failure, const deisa_error& filled) {
  if (failure.is_final() && told_final_) {
    ++untold_;
    last_untold_ = failure;
    return;
  }
  if (!failure.is_known()) handle(filled);
  told_final_ = told_final_ || failure.is_final();
}

std::vector<Error> Reporter::report_now(std::vector<Error> failures, deisa_error* out) {
  if (mode_ == DEISA_ERRORS_RETURN) return failures;
  const auto rest = std::stable_partition(
      failures.begin(), failures.end(),
      [](const Error& failure) { return is_the_callers_fault(failure.status()); });
  const std::vector<Error> due(rest, failures.end());
  if (!due.empty()) report(due, out);
  failures.erase(rest, failures.end());
  return failures;
}

deisa_status Reporter::report(const std::vector<Error>& failures, deisa_error* out) {
  std::vector<Error> raised;
  deisa_error first = {};
  for (const Error& failure : failures) {
    if (mode_ == DEISA_ERRORS_RETURN || is_the_callers_fault(failure.status())) {
      raised.push_back(failure);
      continue;
    }
    deisa_error filled;
    write_error(failure, &filled);
    give(failure, filled);
    if (first.status == DEISA_OK) first = filled;
  }
  if (!raised.empty()) return write_error(joined(raised), out);
  first.status = DEISA_REPORTED;
  if (out != nullptr) *out = first;
  return DEISA_REPORTED;
}

deisa_status Reporter::conclude(deisa_error* out) noexcept {
  if (untold_ == 0) return DEISA_OK;
  try {
    Error all(
        last_untold_->status(),
        std::to_string(untold_) + (untold_ == 1 ? " more failure was" : " more failures were") +
            " counted and not reported, since nothing could reach the analytics any more. The "
            "last: " +
            last_untold_->what());
    all.at_rank(last_untold_->rank()).at_timestep(last_untold_->timestep());
    deisa_error filled;
    write_error(all, &filled);
    handle(filled);
    filled.status = DEISA_REPORTED;
    if (out != nullptr) *out = filled;
  } catch (...) {
    // Out of memory: nothing is said.
  }
  untold_ = 0;
  return DEISA_REPORTED;
}

}  // namespace deisa
