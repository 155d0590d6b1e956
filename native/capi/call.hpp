// What the functions of the C ABI share: the handle, and how a call ends.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/fork.hpp"
#include "base/shortage.hpp"
#include "bridge/bridge.hpp"
#include "capi/disabled.hpp"
#include "capi/feedback.hpp"
#include "capi/report.hpp"

// The handle. `bridge` is empty when DEISA_DISABLE is set: every call is then a success.
struct deisa_bridge {
  deisa::OwnProcess process;
  std::mutex mutex;
  deisa::Disabled disabled;
  std::unique_ptr<deisa::Bridge> bridge;
  std::unique_ptr<deisa::Reporter> reporter;
  std::unique_ptr<deisa::FeedbackValue> value;  // the answer of the last deisa_get
  uint64_t value_version = 0;
  // Under DEISA_DISABLE nobody calls the communicator that was given, but it is released as well.
  deisa_communicator unused_communicator = {};

  deisa_bridge() = default;
  deisa_bridge(const deisa_bridge&) = delete;
  deisa_bridge& operator=(const deisa_bridge&) = delete;
  ~deisa_bridge() {
    if (unused_communicator.release != nullptr && process.is_this()) {
      unused_communicator.release(unused_communicator.self);
    }
  }
};

namespace deisa {

// Runs `work` and turns whatever it throws into a status. Nothing leaves.
template <typename Work>
deisa_status guarded(deisa_error* error, const Work& work) noexcept {
  try {
    return work();
  } catch (const std::exception& e) {
    return write_exception(e, -1, error);
  } catch (...) {
    return DEISA_ERROR_INTERNAL;
  }
}

inline Error null_argument(const char* what) {
  return Error(DEISA_ERROR_ARGUMENT, std::string(what) + " is NULL");
}

inline Error no_bridge() {
  return Error(DEISA_ERROR_CONTRACT,
               "bridge is NULL: it was never opened, or it was closed or abandoned");
}

// A forked child has a copy of the bridge, which is its parent's. That another thread of the parent
// may hold the copy's mutex, for ever, is why this comes before it is locked.
inline bool is_inherited(const deisa_bridge& handle) {
  return handle.bridge != nullptr && !handle.process.is_this();
}

inline Error inherited(const deisa_bridge& handle) {
  Error error(DEISA_ERROR_CONTRACT,
              "this bridge was opened by process " + std::to_string(handle.process.pid()) +
                  ", from which this one was forked: only the process that opened a bridge can "
                  "use it. Nothing was done");
  return error.at_rank(handle.bridge->rank());
}

// A call on a bridge that is or will be open: `work` returns a status or throws.
template <typename Work>
deisa_status on_bridge(deisa_bridge* handle, deisa_error* error, const Work& work) noexcept {
  return guarded(error, [&]() -> deisa_status {
    if (handle == nullptr) throw no_bridge();
    if (!handle->bridge) return DEISA_OK;
    if (is_inherited(*handle)) throw inherited(*handle);
    std::lock_guard<std::mutex> lock(handle->mutex);
    try {
      return work(*handle->bridge);
    } catch (Error& failure) {
      if (failure.rank() < 0) failure.at_rank(handle->bridge->rank());
      throw;
    }
  });
}

// As above, for calls whose failures go to the error handler unless the caller is at fault.
template <typename Work>
deisa_status reported_alone(deisa_bridge* handle, deisa_error* error, const Work& work) noexcept {
  return on_bridge(handle, error, [&](Bridge& bridge) -> deisa_status {
    try {
      return work(bridge);
    } catch (Error& failure) {
      if (failure.rank() < 0) failure.at_rank(bridge.rank());
      if (is_the_callers_fault(failure.status())) throw;
      bridge.count_error(failure);
      const deisa_status told = handle->reporter->report({failure}, error);
      bridge.end_session_if_lost();
      return told;
    }
  });
}

// As above; the late failures of earlier calls are reported here too, after its own: all that the node
// actor had sent before this call, also where the call itself has no answer to read.
template <typename Work>
deisa_status reported(deisa_bridge* handle, deisa_error* error, const Work& work) noexcept {
  return on_bridge(handle, error, [&](Bridge& bridge) -> deisa_status {
    deisa_status status = DEISA_OK;
    std::vector<Error> failures;
    bridge.look_for_late_failures();
    try {
      status = work(bridge);
    } catch (Error& failure) {
      if (failure.rank() < 0) failure.at_rank(bridge.rank());
      if (is_the_callers_fault(failure.status())) throw;
      failures.push_back(failure);
    }
    for (Error& late : bridge.take_late_failures()) failures.push_back(std::move(late));
    for (const Error& failure : failures) bridge.count_error(failure);
    if (failures.empty()) return status;
    status = handle->reporter->report(failures, error);
    bridge.end_session_if_lost();
    return status;
  });
}

inline bool is_disabled(const deisa_bridge* handle) { return handle != nullptr && !handle->bridge; }

// A call that does something under DEISA_DISABLE too; then it is a success.
template <typename Work>
deisa_status on_disabled(deisa_bridge* handle, deisa_error* error, const Work& work) noexcept {
  return guarded(error, [&] {
    std::lock_guard<std::mutex> lock(handle->mutex);
    work(handle->disabled);
    return DEISA_OK;
  });
}

inline void require(const void* pointer, const char* what) {
  if (pointer == nullptr) throw null_argument(what);
}

// A struct that the caller has filled in, and whose end it may know of more than this library.
template <typename Struct>
void require_size(const Struct& given, const char* what, const char* initialiser,
                  size_t least = sizeof(Struct)) {
  if (given.struct_size >= least) return;
  throw Error(DEISA_ERROR_ARGUMENT,
              std::string(what) + ": struct_size = " + std::to_string(given.struct_size) +
                  ": expected " + std::to_string(sizeof(Struct)) + "; start from " + initialiser);
}

}  // namespace deisa
