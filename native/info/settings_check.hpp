// What is set, in the environment and in the settings file.
#pragma once

#include <vector>

#include "info/finding.hpp"
#include "settings/options.hpp"

namespace deisa {

// What deisa_open would refuse, or warn of. `all`: the names and values, as in `environ`.
std::vector<Finding> check_settings(Environment environment, const char* const* all);

}  // namespace deisa
