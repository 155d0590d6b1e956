// Environment variables that look like settings and are none.
#pragma once

#include <string>
#include <vector>

namespace deisa {

// A sentence for each variable of an `environ` that begins with DEISA_ and that nobody reads: not
// this library, not deisa-ray, not this project's scripts and tests.
std::vector<std::string> unknown_variables(const char* const* environment);

// Says on stderr what unknown_variables() finds, each once in a process.
void warn_of_unknown_variables();

}  // namespace deisa
