// The one exception type of the native code. It is turned into a deisa_error at the C boundary.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "deisa/deisa.h"

namespace deisa {

class Error : public std::runtime_error {
 public:
  Error(deisa_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}

  deisa_status status() const noexcept { return status_; }
  int rank() const noexcept { return rank_; }
  int64_t timestep() const noexcept { return timestep_; }
  const std::string& array() const noexcept { return array_; }
  bool is_known() const noexcept { return known_; }
  bool is_earlier() const noexcept { return earlier_; }
  bool is_final() const noexcept { return final_; }

  // Where it happened; each returns the error, so that a throw stays one expression.
  Error& at_rank(int rank) {
    rank_ = rank;
    return *this;
  }
  Error& at_array(std::string array) {
    array_ = std::move(array);
    return *this;
  }
  Error& at_timestep(int64_t timestep) {
    timestep_ = timestep;
    return *this;
  }
  // Another failure has been reported for the same cause.
  Error& of_known_cause() {
    known_ = true;
    return *this;
  }
  // It is about an earlier call than the one that reports it.
  Error& of_earlier_call() {
    earlier_ = true;
    return *this;
  }
  // From now on every send fails for this reason: it is reported once.
  Error& for_good() {
    final_ = true;
    return *this;
  }

 private:
  deisa_status status_;
  int rank_ = -1;
  int64_t timestep_ = DEISA_NO_TIMESTEP;
  std::string array_;
  bool known_ = false;
  bool earlier_ = false;
  bool final_ = false;
};

// The message, which says when it is about an earlier call.
std::string described(const Error& error);

// Copies `from` into the caller's struct, cutting texts that are too long at a UTF-8 boundary and
// ending them in "...". `to` may be NULL. Returns from's status.
deisa_status write_error(const Error& from, deisa_error* to) noexcept;

// An Error with what a deisa_error says, for statuses that came through a C interface.
Error read_error(deisa_status status, const deisa_error& from);

}  // namespace deisa
