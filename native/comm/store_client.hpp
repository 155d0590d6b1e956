// A rank's side of the rendezvous: of rank 0's store, or of the relay that speaks to it for the
// ranks of this node. Used by one thread at a time. Every failure is an Error with a complete
// message.
#pragma once

#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/deadline.hpp"
#include "comm/frame_socket.hpp"
#include "comm/node_map.hpp"
#include "comm/store_messages.hpp"

namespace deisa {

// Who answers a client.
struct StorePeer {
  std::string name = "rank 0";
  bool is_relay = false;
};

class StoreClient {
 public:
  using Options = StoreOptions;

  // Connects to rank 0, trying again until `deadline`, and checks in.
  StoreClient(const Options& options, const Deadline& deadline);
  // Has checked in by way of `peer`.
  StoreClient(const Options& options, const StoreMessages& messages, FrameSocket socket,
              StorePeer peer);
  // Says good-bye, unless something failed.
  ~StoreClient();
  StoreClient(const StoreClient&) = delete;
  StoreClient& operator=(const StoreClient&) = delete;

  // Waits until every rank has checked in. Returns the address at which other machines reach the
  // master's; "" when none is known. Past the deadline all ranks fail with
  // Error(DEISA_ERROR_TIMEOUT).
  std::string rendezvous(const Deadline& deadline);
  void set(const std::string& key, const std::string& value, const Deadline& deadline);
  // The value of `key`, once it is there.
  std::string get(const std::string& key, const Deadline& deadline);
  // Gives each place a part of `text`, which are of equal size, and returns what each place gave
  // this one, once all have.
  std::vector<std::string> exchange(int place, int places, const std::string& text,
                                    const Deadline& deadline);
  // Ends the rendezvous for everyone who is waiting in it.
  void give_up(const std::string& reason) noexcept;

  // Since rendezvous(): the address of this machine that routes to the master, and which rank is on
  // which node.
  const Address& local_address() const { return local_; }
  const NodeMap& nodes() const { return nodes_; }

 private:
  std::string request(const std::string& frame, store::Type expected, const Deadline& deadline);
  // What `read` makes of an answer that came.
  template <typename Read>
  auto take_apart(const std::string& payload, const Read& read);
  Error invalid(const store::Malformed& malformed);
  // After this rank's own deadline: tells the others, and learns who came.
  [[noreturn]] void time_out();

  const Options options_;
  const StoreMessages messages_;
  FrameSocket socket_;
  StorePeer peer_;
  Address local_;
  NodeMap nodes_;
  bool broken_ = false;
};

}  // namespace deisa
