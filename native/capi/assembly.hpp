// From settings to a bridge: what each of its parts is told, and which backend it gets.
#pragma once

#include <memory>

#include "bridge/bridge.hpp"
#include "settings/options.hpp"

namespace deisa {

BridgeOptions bridge_options(const Options& options);
// Throws Error(DEISA_ERROR_ARGUMENT) when the trace file cannot be opened.
std::unique_ptr<Bridge> make_bridge(const Options& options);

}  // namespace deisa
