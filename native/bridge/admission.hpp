// Back-pressure: what the ranks do when a timestep may not begin.
#pragma once

#include <functional>
#include <string>

#include "bridge/bridge_options.hpp"
#include "comm/communicator.hpp"

namespace deisa {

// The error for a timestep that may not begin, `full` says why, after `waited` seconds.
Error not_admitted(const BridgeOptions& options, int64_t timestep, const std::string& full,
                   double waited);

// Collective. Whether the timestep may begin on every rank; `admit` returns "" if it may on this
// one. What `admit` throws counts as no, and is thrown once the others know. After `notice_after`
// seconds, if not 0, this rank says for whom it waits.
bool all_may_begin(Communicator& communicator, const std::function<std::string()>& admit,
                   int64_t timestep, double notice_after, const Deadline& deadline);

}  // namespace deisa
