// Asks who hosts a rendezvous on this machine, without taking part in it.
#pragma once

#include <optional>
#include <string>

#include "comm/store_protocol.hpp"

namespace deisa {

struct StoreHost {
  int process = 0;
  bool failed = false;
  std::string refused;  // who was, and why; "": nobody
  store::Attendance attendance;
};
// Nothing where none is at this address and port, or it is of another machine.
std::optional<StoreHost> find_host(const std::string& master_address, int port);
// The same in words: "process 4711, which waits for rank(s) 2-3 of 4"; "" when there is none.
std::string who_hosts(const std::string& master_address, int port);

}  // namespace deisa
