// deisa.hpp - deisa.h for C++17, header-only: what is opened is closed, errors are exceptions.
//
//   deisa::Options options;
//   options.communicator = deisa::Communicator::open(deisa_mpi_open, MPI_COMM_WORLD);
//   deisa::Bridge bridge(std::move(options));
//   deisa::Layout layout;
//   layout.chunk_shape = {nx, ny};
//   layout.nb_chunks_per_dim = {2, 2};
//   layout.chunk_position = {i, j};
//   bridge.define<double>("temperature", layout);
//   bridge.ready();                                                     // collective
//   deisa::View<double> t(memory, {nx + 2, ny + 2});
//   bridge.send("temperature", t.inside(), timestep);
//   bridge.close(last + 1);                                             // collective
//
// The functions do what those of deisa.h do; that file describes collectivity, waits and threads. A
// negative status is thrown as the Exception of cpp/exception.hpp for that status; a positive one
// is returned as Status. Arguments are borrowed for the duration of the call. Handles are
// move-only. A handle that was moved from, or whose bridge has ended, throws ContractError.
#ifndef DEISA_DEISA_HPP
#define DEISA_DEISA_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deisa/cpp/exception.hpp"
#include "deisa/cpp/feedback.hpp"
#include "deisa/cpp/options.hpp"
#include "deisa/cpp/step.hpp"
#include "deisa/cpp/view.hpp"
#include "deisa/deisa.h"

namespace deisa {
inline namespace v0 {

// ---- The bridge -------------------------------------------------------------------------------

class Bridge {
 public:
  // Performs no communication. The error lists every invalid option.
  explicit Bridge(Options options = {}) : handle_(std::make_shared<detail::Handle>()) {
    deisa_options given = detail::default_options();
    given.bridge_id = options.bridge_id;
    given.world_size = options.world_size;
    given.master_address = detail::text_or_null(options.master_address);
    given.master_port = options.master_port;
    given.ray_address = detail::text_or_null(options.ray_address);
    given.communicator = options.communicator.table();
    given.comm_timeout = options.comm_timeout.count();
    given.ready_timeout = options.ready_timeout.count();
    given.send_timeout = options.send_timeout.count();
    given.node_id = detail::text_or_null(options.node_id);
    given.node_actor = detail::text_or_null(options.node_actor);
    given.init_retries = options.init_retries;
    given.acknowledge = options.acknowledge;
    given.max_in_flight = options.max_in_flight;
    given.when_full = options.when_full;
    given.block_timeout = options.block_timeout.count();
    given.store_threshold = options.store_threshold;
    given.max_ahead = options.max_ahead;
    given.window = options.window;
    given.feedback_interval = options.feedback_interval.count();
    given.error_mode = options.error_mode;
    handle_->error_handler = std::move(options.error_handler);
    if (handle_->error_handler) {
      given.error_handler = &detail::Handle::handle_error;
      given.error_handler_data = handle_.get();
    }
    std::vector<const char*> settings;
    for (const std::string& one : options.settings) settings.push_back(one.c_str());
    settings.push_back(nullptr);
    given.settings = settings.data();
    detail::call(deisa_open, &given, &handle_->bridge);
    options.communicator.disown();
  }
  Bridge(Bridge&&) noexcept = default;
  Bridge& operator=(Bridge&& other) noexcept {
    abandon();
    handle_ = std::move(other.handle_);
    return *this;
  }
  // A bridge that was not closed is abandoned: it leaves without synchronising.
  ~Bridge() { abandon(); }

  // Defines an array of elements of type T. The error lists every problem of the layout.
  template <typename T>
  void define(const std::string& array, const Layout& layout) {
    define(array, dtype_of<T>, layout);
  }
  void define(const std::string& array, deisa_dtype dtype, const Layout& layout) {
    deisa_layout given = DEISA_LAYOUT_INIT;
    given.dtype = dtype;
    given.ndim = static_cast<std::int32_t>(layout.chunk_shape.size());
    given.chunk_shape = layout.chunk_shape.data();
    given.nb_chunks_per_dim = list(array, "nb_chunks_per_dim", layout.nb_chunks_per_dim, layout);
    given.global_shape = list(array, "global_shape", layout.global_shape, layout);
    given.chunk_position = list(array, "chunk_position", layout.chunk_position, layout);
    given.nb_chunks_of_node = layout.nb_chunks_of_node;
    given.strides = list(array, "strides", layout.strides, layout);
    given.offset = layout.offset;
    given.halo_before = list(array, "halo_before", layout.halo_before, layout);
    given.halo_after = list(array, "halo_after", layout.halo_after, layout);
    given.order = static_cast<deisa_order>(layout.order);
    given.start = list(array, "start", layout.start, layout);
    if (!layout.aggregate.empty()) given.aggregate = layout.aggregate.c_str();
    detail::call(deisa_define, bridge(), array.c_str(), &given);
    handle_->arrays[array] = {dtype, layout.chunk_shape};
  }

  // Collective: rendezvous of the ranks, connection to Ray, and waiting for the analytics.
  void ready() { detail::call(deisa_ready, bridge()); }

  // Sends this rank's chunk of the array: a View, a container, a span, an mdspan or a C array of
  // the defined type and shape, at any strides, which may be reused on return; or an Arrow.
  template <typename Source>
  Status send(const std::string& array, const Source& source, std::int64_t timestep) {
    return detail::with_source(source, [&](const deisa_source* given) {
      return detail::call(deisa_send_from, bridge(), array.c_str(), given, timestep, nullptr);
    });
  }
  // The same, without waiting for the acknowledgement: the memory may be reused on return.
  template <typename Source>
  Request send_async(const std::string& array, const Source& source, std::int64_t timestep) {
    return detail::with_source(
        source, [&](const deisa_source* given) { return send_async(array, given, timestep); });
  }
  // Memory with the Layout of the array.
  template <typename T>
  Status send_pointer(const std::string& array, const T* data, std::int64_t timestep) {
    deisa_bridge* const open = bridge();
    handle_->shape_of(array, dtype_of<T>);
    return detail::call(deisa_send, open, array.c_str(), static_cast<const void*>(data), timestep);
  }
  // Sends a loan without a copy; `loan` is then the next memory to compute in.
  template <typename T>
  Status send(Loan<T>& loan, std::int64_t timestep) {
    const deisa_source given = detail::source_of_loan(&loan.memory_);
    return detail::call(deisa_send_from, bridge(), loan.array_.c_str(), &given, timestep, nullptr);
  }
  template <typename T>
  Request send_async(Loan<T>& loan, std::int64_t timestep) {
    const deisa_source given = detail::source_of_loan(&loan.memory_);
    return send_async(loan.array_, &given, timestep);
  }

  // Waits for space, according to Options::when_full. Keep the step until it is complete, then end() it.
  [[nodiscard]] Step begin_step(std::int64_t timestep) {
    deisa_error error = detail::no_error();
    const deisa_status status = deisa_begin_step(bridge(), timestep, &error);
    // Made first: what the error handler throws must leave no step open.
    Step step(status < 0 ? nullptr : handle_, static_cast<Status>(status));
    detail::check(status, error);
    return step;
  }

  // Memory to compute the next chunk in, for an array that was defined by define() as contiguous.
  // After ready(). A second call returns the same memory.
  template <typename T>
  Loan<T> loan(const std::string& array) {
    deisa_bridge* const open = bridge();
    const Extents shape = handle_->shape_of(array, dtype_of<T>);
    void* memory = nullptr;
    detail::call(deisa_loan, open, array.c_str(), &memory, nullptr);
    return Loan<T>(handle_, array, shape, memory);
  }

  // Waits until everything that was sent has been announced.
  Status flush() { return detail::call(deisa_flush, bridge()); }

  // Collective: flushes, waits for every rank and ends the analytics. Does nothing the second time.
  // After ArgumentError and ContractError the bridge is still open.
  Status close(std::int64_t timestep) {
    if (handle_ == nullptr || handle_->bridge == nullptr) return Status::ok;
    return detail::call(deisa_close, &handle_->bridge, timestep);
  }
  // Local and immediate: leaves without synchronising.
  void abandon() noexcept {
    if (handle_ == nullptr) return;
    deisa_abandon(&handle_->bridge);
    detail::thrown_by_handler() = nullptr;
  }

  // The value that the analytics have set for `key`, if there is one. T: bool, an integer or
  // floating-point type, std::string, View<const E> for a NumPy array of elements E,
  // std::vector<std::byte>, or const deisa_value* for any value. The data of a view or a deisa_value
  // are valid until the next get. ArgumentError when it is of another type or does not fit.
  template <typename T>
  std::optional<T> get(const std::string& key, const GetOptions& options = {}) {
    const deisa_value* const value = detail::read_value(bridge(), key, options, false);
    if (value == nullptr) return std::nullopt;
    return detail::convert<T>(key, *value);
  }
  // All kept values with their timesteps, oldest first.
  template <typename T>
  std::vector<std::pair<std::int64_t, T>> get_all(const std::string& key,
                                                  const GetOptions& options = {}) {
    const deisa_value* const values = detail::read_value(bridge(), key, options, true);
    if (values == nullptr) return {};
    return detail::convert_all<T>(key, *values);
  }
  // Hides the value from the bridges of this node until the analytics set a newer one. (`delete` is a
  // keyword.)
  void delete_(const std::string& key) { detail::call(deisa_delete, bridge(), key.c_str()); }

  // Counters of this bridge.
  deisa_statistics statistics() const {
    deisa_statistics counters = DEISA_STATISTICS_INIT;
    detail::call(deisa_get_statistics, bridge(), &counters);
    return counters;
  }

  // For functions of deisa.h that are not here; owned by this object. NULL when the bridge has ended.
  deisa_bridge* handle() const noexcept { return handle_ ? handle_->bridge : nullptr; }

 private:
  deisa_bridge* bridge() const { return detail::open_bridge(handle_); }

  Request send_async(const std::string& array, const deisa_source* source, std::int64_t timestep) {
    deisa_bridge* const open = bridge();
    Request request(handle_);
    detail::call(deisa_send_from, open, array.c_str(), source, timestep, &request.request_);
    return request;
  }

  // NULL if the list is not given; C would read past the end of one that is too short.
  static const std::int64_t* list(const std::string& array, const char* what, const Extents& values,
                                  const Layout& layout) {
    if (values.size() == 0) return nullptr;
    if (values.size() != layout.chunk_shape.size()) {
      detail::raise(detail::make_error(DEISA_ERROR_ARGUMENT,
                                       "array '" + array + "': " + what + " has " +
                                           std::to_string(values.size()) +
                                           " elements: expected as many as chunk_shape, " +
                                           std::to_string(layout.chunk_shape.size()),
                                       array));
    }
    return values.data();
  }

  detail::Shared handle_;
};

}  // namespace v0
}  // namespace deisa

#endif  // DEISA_DEISA_HPP
