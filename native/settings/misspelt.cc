#include "settings/misspelt.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>
#include <set>

#include "base/nearest.hpp"
#include "settings/settings.hpp"

namespace deisa {
namespace {

constexpr const char* kPrefix = "DEISA_";

// deisa-ray's own, and those of ./run, ./test, the tests and the programs of examples/ and bench/.
constexpr std::array kOthers = {
    "DEISA_DISTRIBUTED_SCHEDULING",
    "DEISA_ROOT",
    "DEISA_VENV",
    "DEISA_BUILD",
    "DEISA_DEFAULT_RAY",
    "DEISA_JOBS",
    "DEISA_SEED",
    "DEISA_NO_INSTALL",
    "DEISA_ALL_RAYS",
    "DEISA_FAKE_OUTPUT",
    "DEISA_KILLS",
    "DEISA_RAYLETS",
    "DEISA_SOAK",
    "DEISA_SOAK_FILE",
    "DEISA_FAKE_FAIL",
    "DEISA_MODEL",
    "DEISA_FAKE_HOLD",
};

bool is_known(const std::string& name) {
  for (const Setting& one : all_settings()) {
    if (name == one.variable) return true;
  }
  return name.compare(0, 11, "DEISA_TEST_") == 0 ||
         std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end();
}

}  // namespace

std::vector<std::string> unknown_variables(const char* const* environment) {
  const size_t prefix = std::string(kPrefix).size();
  std::vector<std::string> known;  // without the prefix, which all share
  for (const Setting& one : all_settings()) {
    if (*one.variable != '\0') known.push_back(std::string(one.variable).substr(prefix));
  }
  std::vector<std::string> texts;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string entry = *environment;
    const std::string name = entry.substr(0, entry.find('='));
    if (name.compare(0, prefix, kPrefix) != 0 || is_known(name)) continue;
    const std::string near = nearest(name.substr(prefix), known);
    texts.push_back(
        "the environment variable " + name + " has no effect: there is no such setting. " +
        (near.empty() ? "docs/settings.md lists all" : "Did you mean " + (kPrefix + near) + "?"));
  }
  return texts;
}

void warn_of_unknown_variables() {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard<std::mutex> lock(mutex);
  std::string text;
  for (const std::string& one : unknown_variables(environ)) {
    if (said.insert(one).second) text += "deisa: " + one + "\n";
  }
  if (!text.empty()) std::fputs(text.c_str(), stderr);
}

}  // namespace deisa
