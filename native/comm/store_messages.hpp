// Who takes part in a rendezvous where, and what the errors about it say.
#pragma once

#include <string>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "comm/store_protocol.hpp"

namespace deisa {

struct StoreOptions {
  int rank = 0;
  int size = 1;
  std::string master_address;
  int master_port = 0;
  std::string secret;
  std::string node;        // the key of this rank's node
  std::string connect_to;  // instead of master_address, unless empty: rank 0 goes by loopback
};

// Complete messages: who is talking, what it waited for, who came and who did not.
class StoreMessages {
 public:
  explicit StoreMessages(const StoreOptions& options) : options_(options) {}

  Error error(deisa_status status, const std::string& what) const;
  Error failure(const store::Failure& failure) const;
  // Nobody answered as rank 0.
  Error unreachable(const std::string& last_problem) const;
  // How long it has been at it.
  std::string elapsed() const;

 private:
  const StoreOptions options_;
  const Deadline::Clock::time_point start_ = Deadline::Clock::now();
};

}  // namespace deisa
