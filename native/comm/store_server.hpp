// The rendezvous store: rank 0 hosts it. One thread serves every client; what
// strangers send is bounded and dropped.
#pragma once

#include <memory>
#include <string>

#include "base/deadline.hpp"
#include "comm/store_protocol.hpp"

namespace deisa {

class StoreServer {
 public:
  struct Options {
    int size = 1;                // ranks that are expected
    std::string master_address;  // at which it listens, see bind_for_ranks()
    int port = 0;                // 0: any free one
    std::string secret;          // that clients must give
    double hello_seconds = 10;   // for a connection to check in
    double frame_seconds = 60;   // for a frame that began to end, and for an answer to be read
    size_t max_bytes = size_t{512} << 20;  // of all values, and of all buffers
    size_t max_frame = store::kMaxFrame;
    size_t max_strangers = 1024;  // connections that have not checked in; the oldest go first
  };

  // Listens. Clients that came fail when not all have come by `deadline`. Throws
  // Error(DEISA_ERROR_COMMUNICATOR) that names the port when it is in use.
  StoreServer(const Options& options, const Deadline& deadline);
  // Sends what is still to be sent, for a second at most, and ends.
  ~StoreServer();
  StoreServer(const StoreServer&) = delete;
  StoreServer& operator=(const StoreServer&) = delete;

  int port() const;
  // Where this process itself connects.
  std::string local_host() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace deisa
