// What a bridge must know to keep its rules; where it comes from is not its business.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/trace.hpp"
#include "chunk/filters.hpp"
#include "deisa/deisa.h"

namespace deisa {

struct BridgeOptions {
  int bridge_id = 0;
  int world_size = 1;
  std::optional<deisa_communicator> communicator;  // else the rendezvous at the address
  std::string master_address;
  int master_port = 0;
  std::string node_id;       // tells nodes apart that share a machine
  double comm_timeout = 0;   // seconds, as all below
  double ready_timeout = 0;  //
  double send_timeout = 0;
  double wait_notice = 0;  // 0: never
  deisa_acknowledge acknowledge = DEISA_ACK_RECEIVED;
  deisa_when_full when_full = DEISA_WHEN_FULL_BLOCK;
  double block_timeout = 0;
  ArrayFilters filters;
  Aggregate aggregate = Aggregate::kNone;    // arrays that do not say it themselves
  std::map<std::string, std::string> alike;  // options that must be the same on every rank
  bool statistics = false;                   // print them at the end
  std::shared_ptr<Trace> trace;              // empty: none
};

}  // namespace deisa
