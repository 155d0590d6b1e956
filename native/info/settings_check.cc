#include "info/settings_check.hpp"

#include "settings/misspelt.hpp"

namespace deisa {

std::vector<Finding> check_settings(Environment environment, const char* const* all) {
  std::vector<Finding> findings;
  for (const std::string& problem : problems_of_settings(environment)) {
    findings.push_back(Finding::wrong("settings", problem));
  }
  for (const std::string& unknown : unknown_variables(all)) {
    findings.push_back(Finding::note("settings", unknown));
  }
  if (findings.empty()) findings.push_back(Finding::good("settings", "none is refused"));
  return findings;
}

}  // namespace deisa
