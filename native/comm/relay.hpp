// The relay of a node: the rank that came first takes the others of its node in at a Unix socket,
// and speaks for all of them on the node's one connection to rank 0's store. So rank 0 has as many
// connections as there are nodes.
//
// The socket's abstract name follows from the user, the node and the master's address and port:
// ranks of one start find each other by it before they know anything of rank 0. Where the relay
// cannot serve a rank (another user has the name, its secret is another one), that rank goes to rank
// 0 by itself.
#pragma once

#include <memory>
#include <string>

#include "base/deadline.hpp"
#include "base/file_descriptor.hpp"
#include "comm/store_client.hpp"
#include "comm/store_connection.hpp"

namespace deisa {

// Serves in a thread of its own while it lives. Ends when the others have their last answers, for
// which it waits a second at most.
class Relay {
 public:
  // `listener` is where the ranks of the node come. `options` are those of this rank.
  Relay(FileDescriptor listener, const StoreOptions& options);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // This rank's own line.
  FrameSocket own_line();
  // Connects to rank 0's store and checks in, as options.rank. Throws NoStoreConnection; the others
  // are told then why, or may try themselves if only the time was over.
  void reach_store(const Deadline& deadline);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The part of a rank in the rendezvous.
struct Participation {
  std::unique_ptr<Relay> relay;  // if this rank is the node's; ends after the client
  std::unique_ptr<StoreClient> client;
};

// Checks in, by way of the node's relay where there is one.
Participation take_part(const StoreOptions& options, const Deadline& deadline);

// The name of the relay's socket.
std::string relay_name(const StoreOptions& options);

}  // namespace deisa
