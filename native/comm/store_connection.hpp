// The way to rank 0's store, for a rank alone or for the relay of a node.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/address.hpp"
#include "comm/frame_socket.hpp"
#include "comm/rank_ranges.hpp"
#include "comm/store_messages.hpp"

namespace deisa {

struct StoreConnection {
  FrameSocket socket;
  Address local;  // of this end: the address of this machine that routes to the master
};

// For whom a connection is made, while that takes.
struct StoreConnecting {
  std::function<RankRanges()> ranks;                           // that wait for it
  std::function<void(const std::string& problem)> on_problem;  // may be empty
};

// Thrown where rank 0 cannot be reached, or does not take this rank: told to whoever waits for the
// connection, too.
struct NoStoreConnection {
  bool late = false;  // and why, in failure.reason; everyone else may have more time
  store::Failure failure;

  Error error(const StoreMessages& messages) const {
    return late ? messages.unreachable(failure.reason) : messages.failure(failure);
  }
};

// Connects, trying again until `deadline`, and checks in as options.rank.
StoreConnection connect_to_store(const StoreOptions& options, const StoreConnecting& connecting,
                                 const Deadline& deadline);

// A client's first frame.
std::string hello_frame(const StoreOptions& options);
// Of a frame what secret_proof() is about.
std::string_view said(const std::string& frame);

}  // namespace deisa
