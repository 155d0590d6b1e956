// What happens to a failure that the simulation need not die of.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "deisa/deisa.h"

namespace deisa {

// These are returned, never given to the handler.
inline bool is_the_callers_fault(deisa_status status) {
  return status == DEISA_ERROR_CONTRACT || status == DEISA_ERROR_ARGUMENT;
}

class Reporter {
 public:
  Reporter(deisa_error_mode mode, deisa_error_handler handler, void* data) noexcept
      : mode_(mode), handler_(handler), data_(data) {}

  deisa_error_mode mode() const noexcept { return mode_; }

  // Gives each failure to the handler (by default: stderr, for a defect of this library with a trace
  // of the calling code) and returns DEISA_REPORTED. A cause that is known is not given to it again,
  // and of failures that are for good, only the first is; the others are counted. In mode return, and
  // for what is the caller's fault in every mode, returns the status instead: that of the first,
  // whose message says what the others were. Fills in `out`, if not NULL. `failures` is not empty.
  deisa_status report(const std::vector<Error>& failures, deisa_error* out);
  // Gives to the handler what goes to the handler, and returns the rest. Fills in `out` if it gave
  // any.
  std::vector<Error> report_now(std::vector<Error> failures, deisa_error* out);
  // The bridge ends: gives the handler the number of failures that were only counted, and returns
  // DEISA_REPORTED, if there are any.
  deisa_status conclude(deisa_error* out) noexcept;

 private:
  void handle(const deisa_error& error) noexcept;
  // To the handler, unless it is one that is only counted.
  void give(const Error& failure, const deisa_error& filled);

  deisa_error_mode mode_;
  deisa_error_handler handler_;
  void* data_;
  bool told_final_ = false;
  int64_t untold_ = 0;
  std::optional<Error> last_untold_;
};

}  // namespace deisa
