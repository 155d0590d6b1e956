#include "info/languages.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.hpp"

namespace deisa {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOldestPython = "3.12";
constexpr double kLoadSeconds = 60;
constexpr double kJoinSeconds = 60;

struct Package {
  const char* name;    // for pip
  const char* folder;  // as in its .dist-info
  const char* least;   // "" : any
};
// Ray itself first. What deisa_bridge imports; see python/pyproject.toml.
constexpr Package kPackages[] = {{"ray", "ray", "2.48"},
                                 {"deisa-ray", "deisa_ray", "0.1.8"},
                                 {"numpy", "numpy", ""},
                                 {"msgpack", "msgpack", ""}};

// What `find` returns, or what it throws as a finding. The last line of its message is the advice.
template <typename Find>
Finding found(const char* what, const Find& find) {
  try {
    return Finding::good(what, find());
  } catch (const Error& error) {
    const std::string message = error.what();
    const size_t cut = message.rfind('\n');
    if (cut == std::string::npos) return Finding::missing(what, message, "");
    return Finding::missing(what, message.substr(0, cut), message.substr(cut + 1));
  }
}

std::string java_text(const Places& places) {
  const std::string java = find_java(places);
  const int version = java_version(java);
  return "Java " + (version > 0 ? std::to_string(version) : "of unknown version") + ", " + java;
}

Finding check_package(const Package& package, const std::string& site_packages) {
  const std::string version = package_version(site_packages, package.folder);
  const std::string wanted =
      package.name + std::string(*package.least != '\0' ? ">=" : "") + package.least;
  const std::string pip = "Install it in that Python: pip install '" + wanted + "'.";
  if (version.empty()) {
    return Finding::missing(package.name, "is not in " + site_packages, pip);
  }
  if (*package.least != '\0' && !is_at_least(version, package.least)) {
    return Finding::missing(package.name,
                            version + " is too old: expected " + package.least + " or later", pip);
  }
  return Finding::good(package.name, version);
}

}  // namespace

bool is_at_least(const std::string& version, const std::string& least) {
  const char* have = version.c_str();
  const char* want = least.c_str();
  while (*want != '\0') {
    char *after_have = nullptr, *after_want = nullptr;
    const long a = std::strtol(have, &after_have, 10), b = std::strtol(want, &after_want, 10);
    if (a != b) return a > b;
    have = *after_have == '.' ? after_have + 1 : after_have;
    want = *after_want == '.' ? after_want + 1 : after_want;
    if (after_want == want) break;  // not a number
  }
  return true;
}

std::string package_version(const std::string& site_packages, const std::string& package) {
  const std::string prefix = package + "-", suffix = ".dist-info";
  std::error_code error;
  for (fs::directory_iterator entry(site_packages, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.size() > prefix.size() + suffix.size() &&
        name.compare(0, prefix.size(), prefix) == 0 &&
        name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0) {
      return name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
    }
  }
  return "";
}

std::vector<Finding> check_java(const Places& places, ControlKind kind) {
  std::vector<Finding> findings = {found("Java", [&] { return java_text(places); }),
                                   found("control jar", [&] { return find_control_jar(places); }),
                                   found("Ray's jar", [&] { return find_ray_jar(places); })};
  const bool named = places.variable("DEISA_JAVA_HOME") || places.variable("DEISA_JAR") ||
                     places.variable("DEISA_RAY_JAR");
  if (kind == ControlKind::kJava || (kind == ControlKind::kAuto && named)) return findings;
  for (Finding& finding : findings) {
    if (finding.level != Finding::Level::kMissing) continue;
    finding.level = Finding::Level::kNote;
    finding.advice = "Python takes its place; for Java: " + finding.advice;
  }
  return findings;
}

std::vector<Finding> check_python(const Places& places) {
  RayPackage ray;
  std::vector<Finding> findings = {
      found("Ray's Python", [&] { return (ray = find_ray(places)).python; })};
  const fs::path packages = ray.packages;
  if (!packages.empty()) {
    const std::string python = packages.parent_path().filename().string();  // "python3.12"
    const std::string version = python.substr(std::min(python.size(), sizeof("python") - 1));
    if (version.empty() || is_at_least(version, kOldestPython)) {
      findings.push_back(Finding::good("Python", version + ", " + packages.string()));
    } else {
      findings.push_back(Finding::missing(
          "Python", version + " is too old: deisa-ray expects " + kOldestPython + " or later",
          "Install Ray and deisa-ray in a newer Python and activate it."));
    }
    for (const Package& package : kPackages) {
      findings.push_back(check_package(package, packages.string()));
    }
  } else if (places.variable("DEISA_RAY_JAR")) {
    findings.front() = Finding::note("packages", "unknown: Ray's Python was not found",
                                     "Set DEISA_PYTHON to it to have them checked.");
  }
  findings.push_back(found("deisa_bridge", [&] { return find_python_path(places, packages); }));
  return findings;
}

Finding check_control(const Control::Settings& settings, bool join) {
  const char* const what = "process";
  try {
    const auto control = Control::start(settings);
    const std::string name = control->wait_until_loaded(Deadline::after(kLoadSeconds));
    if (!join) return Finding::good(what, name + ", starts");
    control->connect(Deadline::after(kJoinSeconds));
    return Finding::good(what, name + ", has joined Ray");
  } catch (const Error& error) {
    return Finding::missing(what, error.what(), "");
  }
}

}  // namespace deisa
