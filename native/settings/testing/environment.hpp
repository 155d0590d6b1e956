// Environment variables of a test's own.
#pragma once

#include <map>
#include <string>

namespace deisa::testing {

inline std::map<std::string, std::string>& variables() {
  static std::map<std::string, std::string> all;
  return all;
}

// An Environment.
inline const char* environment(const char* name) {
  const auto found = variables().find(name);
  return found == variables().end() ? nullptr : found->second.c_str();
}

}  // namespace deisa::testing
