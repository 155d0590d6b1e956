// step.hpp - steps, requests and loans: the handles that Bridge gives out. Included by
// deisa.hpp.
#ifndef DEISA_CPP_STEP_HPP
#define DEISA_CPP_STEP_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "deisa/cpp/exception.hpp"
#include "deisa/cpp/options.hpp"
#include "deisa/cpp/view.hpp"
#include "deisa/deisa.h"

namespace deisa {
inline namespace v0 {

// A chunk through the Arrow C Data Interface, to send or put: see deisa_source. The call that gets it
// takes ownership of both structs, and releases them, also after an error.
struct Arrow {
  ArrowArray* array;
  ArrowSchema* schema;
};

// ---- What handles share ---------------------------------------------------------------------

namespace detail {

struct Definition {
  deisa_dtype dtype;
  Extents shape;
};

// What a Bridge, its steps, requests and loans share. `bridge` is NULL when the bridge has ended.
struct Handle {
  deisa_bridge* bridge = nullptr;
  std::function<void(const Exception&)> error_handler;
  std::map<std::string, Definition> arrays;
  std::uint64_t steps = 0;  // that were begun: the newest has this number

  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    deisa_abandon(&bridge);
    thrown_by_handler() = nullptr;
  }

  static void handle_error(void* self, const deisa_error* error) noexcept {
    try {
      static_cast<Handle*>(self)->error_handler(Exception(*error));
    } catch (...) {
      thrown_by_handler() = std::current_exception();
    }
  }

  // The chunk's shape; throws ContractError unless the array was defined with this dtype.
  const Extents& shape_of(const std::string& array, deisa_dtype dtype) const {
    const auto found = arrays.find(array);
    if (found == arrays.end()) {
      raise(make_error(DEISA_ERROR_CONTRACT,
                       "unknown array '" + array + "': expected one that define() was called for",
                       array));
    }
    if (found->second.dtype != dtype) {
      raise(make_error(DEISA_ERROR_CONTRACT,
                       "array '" + array +
                           "' was defined with another element type than that of the pointer or "
                           "loan for it",
                       array));
    }
    return found->second.shape;
  }
};

using Shared = std::shared_ptr<Handle>;

inline deisa_bridge* open_bridge(const Shared& handle) {
  if (handle == nullptr || handle->bridge == nullptr) {
    raise(make_error(DEISA_ERROR_CONTRACT,
                     "the bridge was closed, abandoned or moved: open another one"));
  }
  return handle->bridge;
}

// Strides in bytes, as deisa.h has them.
template <typename T>
Extents byte_strides(const View<T>& view) {
  Extents strides = view.strides();
  for (std::size_t d = 0; d < strides.size(); ++d)
    strides[d] *= static_cast<std::int64_t>(sizeof(T));
  return strides;
}

inline const char* text_or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

// Calls `call` with what a source is to deisa.h.
template <typename Source, typename Call>
auto with_source(const Source& source, const Call& call) {
  deisa_source given = DEISA_SOURCE_INIT;
  if constexpr (std::is_same_v<Source, Arrow>) {
    given.array = source.array;
    given.schema = source.schema;
    try {
      return call(&given);
    } catch (...) {  // perhaps before deisa.h was called
      if (source.array != nullptr && source.array->release != nullptr) {
        source.array->release(source.array);
      }
      if (source.schema != nullptr && source.schema->release != nullptr) {
        source.schema->release(source.schema);
      }
      throw;
    }
  } else {
    const auto view = view_of(source);
    using T = std::remove_pointer_t<decltype(view.data())>;
    const Extents strides = byte_strides(view);
    given.data = view.data();
    given.dtype = dtype_of<T>;
    given.ndim = static_cast<std::int32_t>(view.rank());
    given.shape = view.shape().data();
    given.strides = strides.data();
    return call(&given);
  }
}

inline deisa_source source_of_loan(void** memory) {
  deisa_source given = DEISA_SOURCE_INIT;
  given.loan = memory;
  return given;
}

}  // namespace detail

// ---- Loans ------------------------------------------------------------------------------------

// Memory of the library to compute in: sending it needs no copy. After a send or put, it is the next
// loan, with undefined contents (zeros, or data of an earlier timestep). Valid as long as its bridge.
template <typename T>
class Loan {
 public:
  // As in a container of the elements.
  T* data() const noexcept { return static_cast<T*>(memory_); }
  std::size_t size() const noexcept { return size_; }
  T* begin() const noexcept { return data(); }
  T* end() const noexcept { return data() + size_; }
  T& operator[](std::size_t index) const { return data()[index]; }
  // In the shape of the chunk. Get it again after each send.
  View<T> view() const { return View<T>(data(), shape_); }
  const std::string& array() const noexcept { return array_; }
  // Shows it to Arrow, without a copy: see deisa_export. The caller releases both structs.
  void export_to(ArrowArray* array, ArrowSchema* schema) const {
    detail::call(deisa_export, detail::open_bridge(handle_), array_.c_str(), array, schema);
  }

  Loan(Loan&&) noexcept = default;
  Loan& operator=(Loan&&) noexcept = default;

 private:
  friend class Bridge;
  friend class Step;
  Loan(detail::Shared handle, std::string array, const Extents& shape, void* memory)
      : handle_(std::move(handle)), array_(std::move(array)), shape_(shape), memory_(memory) {
    for (const std::int64_t extent : shape) size_ *= static_cast<std::size_t>(extent);
  }
  detail::Shared handle_;
  std::string array_;
  Extents shape_;
  std::size_t size_ = 1;
  void* memory_;
};

template <typename T>
struct Viewed<Loan<T>> {
  static View<const T> view(const Loan<T>& source) { return source.view(); }
};

// ---- Requests ---------------------------------------------------------------------------------

// A send or a step in progress. flush() and close() finish a request that was discarded.
class Request {
 public:
  // None, or finished.
  Request() = default;
  Request(Request&& other) noexcept
      : handle_(std::move(other.handle_)), request_(std::exchange(other.request_, 0)) {}
  Request& operator=(Request&& other) noexcept {
    handle_ = std::move(other.handle_);
    request_ = std::exchange(other.request_, 0);
    return *this;
  }

  // Waits until it has reached the level of `acknowledge`. After TimeoutError: wait again.
  Status wait() {
    if (request_ == 0) return Status::ok;
    return detail::call(deisa_wait, detail::open_bridge(handle_), &request_);
  }
  // Whether it has reached that level; does not wait.
  bool test() {
    if (request_ == 0) return true;
    return detail::call(deisa_test, detail::open_bridge(handle_), &request_) != Status::pending;
  }

 private:
  friend class Bridge;
  friend class Step;
  explicit Request(detail::Shared handle) : handle_(std::move(handle)) {}
  detail::Shared handle_;
  deisa_request request_ = 0;
};

// ---- Steps ------------------------------------------------------------------------------------

// All chunks put between begin_step() and end() are one message.
class Step {
 public:
  Step(Step&& other) noexcept = default;
  Step& operator=(Step&& other) noexcept {
    abandon();
    handle_ = std::move(other.handle_);
    status_ = other.status_;
    number_ = other.number_;
    return *this;
  }
  // A step that was not ended is abandoned, also when an exception passes.
  ~Step() { abandon(); }

  // Whether this rank takes part. If not, put() and end() do nothing.
  explicit operator bool() const noexcept { return status_ == Status::ok; }
  // skipped: on every rank alike; reported: skipped on this rank, after a failure.
  Status status() const noexcept { return status_; }

  // Copies this rank's chunk of the array into the step: whatever Bridge::send() takes.
  template <typename Source>
  Status put(const std::string& array, const Source& source) {
    return detail::with_source(source, [&](const deisa_source* given) {
      return detail::call(deisa_put_from, bridge(), array.c_str(), given);
    });
  }
  // Memory with the Layout of the array.
  template <typename T>
  Status put_pointer(const std::string& array, const T* data) {
    deisa_bridge* const open = bridge();
    handle_->shape_of(array, dtype_of<T>);
    return detail::call(deisa_put, open, array.c_str(), static_cast<const void*>(data));
  }
  // Takes the loan; `loan` is then the next memory to compute in.
  template <typename T>
  Status put(Loan<T>& loan) {
    const deisa_source given = detail::source_of_loan(&loan.memory_);
    return detail::call(deisa_put_from, bridge(), loan.array_.c_str(), &given);
  }

  // Sends the step.
  Status end() {
    deisa_bridge* const open = bridge();
    const detail::Shared handle = std::move(handle_);
    return detail::call(deisa_end_step, open, nullptr);
  }
  // The same, without waiting for the acknowledgement.
  Request end_async() {
    deisa_bridge* const open = bridge();
    Request request(std::move(handle_));
    detail::call(deisa_end_step, open, &request.request_);
    return request;
  }
  // Ends the step without sending it: this rank skips the timestep.
  void abandon() noexcept {
    const detail::Shared handle = std::move(handle_);
    if (handle == nullptr || handle->bridge == nullptr) return;
    if (handle->steps != number_) return;  // a skipped one, after which another was begun
    deisa_abandon_step(handle->bridge, nullptr);
    detail::thrown_by_handler() = nullptr;
  }

  // Shows what was put so far to Arrow, as a record batch without a copy: see deisa_export. The
  // caller releases both structs.
  void export_to(ArrowArray* array, ArrowSchema* schema) const {
    detail::call(deisa_export, bridge(), nullptr, array, schema);
  }

 private:
  friend class Bridge;
  Step(detail::Shared handle, Status status) : handle_(std::move(handle)), status_(status) {
    if (handle_ != nullptr) number_ = ++handle_->steps;
  }
  deisa_bridge* bridge() const {
    if (handle_ == nullptr) {
      detail::raise(detail::make_error(DEISA_ERROR_CONTRACT,
                                       "this step was ended or moved: begin another one"));
    }
    return detail::open_bridge(handle_);
  }

  detail::Shared handle_;  // empty: ended
  Status status_;
  std::uint64_t number_ = 0;
};

}  // namespace v0
}  // namespace deisa

#endif  // DEISA_CPP_STEP_HPP
