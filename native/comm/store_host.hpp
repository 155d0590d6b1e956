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
std::optional<StoreHost> find_host(int port);
// The same in words: "process 4711, which waits for rank(s) 2-3 of 4"; "" when there is none.
std::string who_hosts(int port);

}  // namespace deisa
