// exception.hpp - statuses and errors of deisa.h as C++ types. Included by deisa.hpp.
#ifndef DEISA_CPP_EXCEPTION_HPP
#define DEISA_CPP_EXCEPTION_HPP

#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "deisa/deisa.h"

namespace deisa {
// Names its ABI: code compiled with another version of these headers has symbols of its own.
inline namespace v0 {

// The result of a call that did not fail.
enum class Status {
  ok = DEISA_OK,
  skipped = DEISA_SKIPPED,      // back-pressure skips this step, on every rank alike
  not_found = DEISA_NOT_FOUND,  // no such value
  reported = DEISA_REPORTED,    // a failure was given to the error handler; continue
  pending = DEISA_PENDING       // not finished yet
};

// A negative status: what() says what was wrong, where, what was expected and what to do.
class Exception : public std::runtime_error {
 public:
  // What a function of deisa.h has filled in.
  explicit Exception(const deisa_error& error)
      : std::runtime_error(error.message[0] != '\0' ? error.message
                                                    : deisa_status_string(error.status)),
        status_(error.status),
        rank_(error.rank),
        timestep_(error.timestep),
        array_(error.array),
        earlier_(error.earlier != 0) {}

  // Which error it is.
  deisa_status status() const noexcept { return status_; }
  // The bridge that failed; -1: none in particular.
  int rank() const noexcept { return rank_; }
  std::optional<std::int64_t> timestep() const noexcept {
    if (timestep_ == DEISA_NO_TIMESTEP) return std::nullopt;
    return timestep_;
  }
  // "" : no array in particular.
  const std::string& array() const noexcept { return array_; }
  // It concerns an earlier call; the call that threw it has done its own work.
  bool earlier() const noexcept { return earlier_; }

 private:
  deisa_status status_;
  int rank_;
  std::int64_t timestep_;
  std::string array_;
  bool earlier_;
};

// One class for each status; see deisa_status.
class ArgumentError : public Exception {
  using Exception::Exception;
};
class ContractError : public Exception {
  using Exception::Exception;
};
class TimeoutError : public Exception {
  using Exception::Exception;
};
class CommunicatorError : public Exception {
  using Exception::Exception;
};
class ConnectionError : public Exception {
  using Exception::Exception;
};
class ResourceError : public Exception {
  using Exception::Exception;
};
class UnsupportedError : public Exception {
  using Exception::Exception;
};
class InternalError : public Exception {
  using Exception::Exception;
};

namespace detail {

inline deisa_error make_error(deisa_status status, const std::string& message,
                              const std::string& array = "") {
  deisa_error error = {};
  error.status = status;
  error.rank = -1;
  error.timestep = DEISA_NO_TIMESTEP;
  array.copy(error.array, sizeof(error.array) - 1);
  message.copy(error.message, sizeof(error.message) - 1);
  return error;
}

[[noreturn]] inline void raise(const deisa_error& error) {
  switch (error.status) {
    case DEISA_ERROR_ARGUMENT:
      throw ArgumentError(error);
    case DEISA_ERROR_CONTRACT:
      throw ContractError(error);
    case DEISA_ERROR_TIMEOUT:
      throw TimeoutError(error);
    case DEISA_ERROR_COMMUNICATOR:
      throw CommunicatorError(error);
    case DEISA_ERROR_CONNECTION:
      throw ConnectionError(error);
    case DEISA_ERROR_RESOURCE:
      throw ResourceError(error);
    case DEISA_ERROR_UNSUPPORTED:
      throw UnsupportedError(error);
    default:
      throw InternalError(error);
  }
}

// What an error handler threw during the call that this thread is in; it cannot pass through C.
inline std::exception_ptr& thrown_by_handler() {
  thread_local std::exception_ptr thrown;
  return thrown;
}

inline deisa_error no_error() { return make_error(DEISA_OK, ""); }

// What a call has returned, thrown if it failed.
inline Status check(deisa_status status, deisa_error& error) {
  if (thrown_by_handler()) std::rethrow_exception(std::exchange(thrown_by_handler(), nullptr));
  if (status < 0) {
    error.status = status;
    raise(error);
  }
  return static_cast<Status>(status);
}

// Calls a function of deisa.h whose last argument is the error.
template <typename Function, typename... Arguments>
Status call(Function function, Arguments... arguments) {
  deisa_error error = no_error();
  const deisa_status status = function(arguments..., &error);
  return check(status, error);
}

}  // namespace detail
}  // namespace v0
}  // namespace deisa

#endif  // DEISA_CPP_EXCEPTION_HPP
