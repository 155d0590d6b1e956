// How the control process is started: with Java or with Python, its command line and its
// environment.
#pragma once

#include <string>
#include <vector>

#include "control/child.hpp"
#include "control/control.hpp"
#include "control/locate.hpp"

namespace deisa {

struct Launch {
  ControlKind kind = ControlKind::kJava;  // never kAuto
  Child::Command command;
  std::string python_path;   // the folder that holds the package deisa_bridge
  std::string archive;       // of Java's classes, which it is to make, or ""; see start_cache.hpp
  std::string java_options;  // DEISA_JVM_OPTIONS, for messages
};

// With kAuto: Java if it and both jars are found, else Python. Throws Error(DEISA_ERROR_CONNECTION)
// that says what is missing and how to get it.
Launch how_to_launch(const Places& places, ControlKind kind,
                     const std::vector<std::string>& environment);

// The environment of this process.
std::vector<std::string> environment_of_this_process();

// Why such a process may have ended, and what to do. `how`: see Child::end; `joining`: it ended by
// itself while it was joining Ray.
std::string explain(const Launch& launch, const std::string& how, const std::string& last_lines,
                    bool joining);

}  // namespace deisa
