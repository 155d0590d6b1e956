// What happens to a failure that the simulation need not die of.
#pragma once

#include "bridge/options.hpp"

namespace deisa {

class Reporter {
 public:
  Reporter(deisa_error_mode mode, deisa_error_handler handler, void* data) noexcept
      : mode_(mode), handler_(handler), data_(data) {}

  // Gives the failure to the handler (by default: stderr, with a trace of the calling code the
  // first time) and returns DEISA_REPORTED; in mode raise, returns its status. Fills in `out`, if
  // not NULL.
  deisa_status report(const Error& error, deisa_error* out) noexcept;

 private:
  deisa_error_mode mode_;
  deisa_error_handler handler_;
  void* data_;
  bool traced_ = false;
};

}  // namespace deisa
