// deisa-info --status.
#pragma once

#include <string>
#include <vector>

#include "control/control.hpp"

namespace deisa {

// Becomes the Python of Ray, which shows what runs on the cluster: `python -m deisa_bridge.watching`
// with these arguments (--json, --watch) and the cluster's address. Throws Error when the cluster or
// Python cannot be found.
[[noreturn]] void show_status(const Control::Settings& settings,
                              const std::vector<std::string>& arguments);

}  // namespace deisa
