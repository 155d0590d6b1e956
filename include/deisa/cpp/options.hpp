// options.hpp - communicators, options and layouts. Included by deisa.hpp.
#ifndef DEISA_CPP_OPTIONS_HPP
#define DEISA_CPP_OPTIONS_HPP

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "deisa/cpp/exception.hpp"
#include "deisa/cpp/view.hpp"
#include "deisa/deisa.h"

namespace deisa {
inline namespace v0 {

using Seconds = std::chrono::duration<double>;

// ---- Communicator ---------------------------------------------------------------------------

// Owns a deisa_communicator until it is given to a bridge.
class Communicator {
 public:
  // None: the bridges use Gloo, or there is one rank.
  Communicator() = default;
  // Takes ownership of a table; its `release` is called in the end.
  explicit Communicator(const deisa_communicator& table) : table_(table) {}
  // By a function such as deisa_mpi_open or deisa_gloo_open, and its first arguments. Collective.
  template <typename Open, typename... Arguments>
  static Communicator open(Open open, Arguments... arguments) {
    deisa_communicator table = {};
    detail::call(open, arguments..., &table);
    return Communicator(table);
  }
  Communicator(Communicator&& other) noexcept : table_(std::exchange(other.table_, std::nullopt)) {}
  Communicator& operator=(Communicator&& other) noexcept {
    std::swap(table_, other.table_);
    return *this;
  }
  ~Communicator() {
    if (table_ && table_->release != nullptr) table_->release(table_->self);
  }

  // What a bridge is given, or null.
  const deisa_communicator* table() const noexcept { return table_ ? &*table_ : nullptr; }
  // The bridge releases it from now on.
  void disown() noexcept { table_.reset(); }

 private:
  std::optional<deisa_communicator> table_;
};

// ---- Options ----------------------------------------------------------------------------------

namespace detail {
inline deisa_options default_options() { return DEISA_OPTIONS_INIT; }
}  // namespace detail

// As deisa_options; "" and -1: not given.
struct Options {
  int bridge_id = -1;
  int world_size = -1;
  std::string master_address;
  int master_port = -1;
  std::string ray_address;
  Communicator communicator;
  Seconds comm_timeout{detail::default_options().comm_timeout};
  Seconds ready_timeout{detail::default_options().ready_timeout};
  Seconds send_timeout{detail::default_options().send_timeout};
  std::string node_id;
  std::string node_actor;
  int init_retries = detail::default_options().init_retries;
  deisa_acknowledge acknowledge = DEISA_ACK_RECEIVED;
  int max_in_flight = detail::default_options().max_in_flight;
  deisa_when_full when_full = DEISA_WHEN_FULL_BLOCK;
  Seconds block_timeout{detail::default_options().block_timeout};
  double store_threshold = detail::default_options().store_threshold;
  int max_ahead = detail::default_options().max_ahead;
  int window = detail::default_options().window;
  Seconds feedback_interval{detail::default_options().feedback_interval};
  // DEISA_ERRORS_RETURN: the call that fails throws.
  deisa_error_mode error_mode = DEISA_ERRORS_REPORT;
  // Gets the failures of DEISA_ERRORS_REPORT, during the call that found them; must not call the
  // bridge. That call throws what the handler throws. Empty: they are reported on stderr.
  std::function<void(const Exception&)> error_handler;
  // "name=value": settings by their name in the settings file, which replace the members above.
  std::vector<std::string> settings;
};

// ---- Arrays -----------------------------------------------------------------------------------

// As deisa_layout: one rank's chunk of an array. Its place is chunk_position with nb_chunks_per_dim
// or global_shape, or start with global_shape. Strides, offset, halo and order only matter for
// send_pointer() and put_pointer(): a View says them itself.
struct Layout {
  Extents chunk_shape;
  Extents nb_chunks_per_dim;
  Extents global_shape;
  Extents chunk_position;
  std::int64_t nb_chunks_of_node = -1;
  Extents strides;  // in bytes
  std::int64_t offset = 0;
  Extents halo_before;
  Extents halo_after;
  Order order = Order::c;
  Extents start;
  std::string aggregate;  // "": by the setting
};

}  // namespace v0
}  // namespace deisa

#endif  // DEISA_CPP_OPTIONS_HPP
