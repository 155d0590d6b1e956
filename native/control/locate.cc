#include "control/locate.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/truth.hpp"

namespace deisa {
namespace {

namespace fs = std::filesystem;

constexpr int kOldestJava = 17;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_program(const fs::path& path) { return is_file(path) && ::access(path.c_str(), X_OK) == 0; }

// The entries of a folder whose names begin with `prefix`, sorted. Empty when it cannot be read.
std::vector<fs::path> entries(const fs::path& folder, const std::string& prefix = "") {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename().string().compare(0, prefix.size(), prefix) == 0) {
      found.push_back(entry->path());
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

// What a search has looked at, for the error at its end.
class Search {
 public:
  Search(std::string what, std::string advice)
      : what_(std::move(what)), advice_(std::move(advice)) {}

  void note(const std::string& place) { places_ += "\n  - " + place; }

  [[noreturn]] void fail() const {
    throw Error(DEISA_ERROR_CONNECTION,
                what_ + " was not found. Looked at:" + places_ + "\n" + advice_);
  }

 private:
  std::string what_, advice_, places_;
};

fs::path installed(const Places& places, const char* name) {
  return (fs::path(places.library_folder) / places.share / name).lexically_normal();
}

std::optional<fs::path> on_path(const Places& places, const std::string& program) {
  const std::string path = places.variable("PATH").value_or("");
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const fs::path candidate = fs::path(path.substr(begin, end - begin)) / program;
    if (end > begin && is_program(candidate)) {
      return candidate;
    }
    begin = end + 1;
  }
  return std::nullopt;
}

// ---- Java ------------------------------------------------------------------------------------

// The major version from the file `release`, which every JDK and JRE since 8 has; 0: unknown.
int version_of_home(const fs::path& home) {
  std::ifstream file(home / "release");
  const std::string key = "JAVA_VERSION=\"";
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) == 0) {
      const int major = std::atoi(line.c_str() + key.size());
      return major == 1 ? std::atoi(line.c_str() + key.size() + 2) : major;  // "1.8.0"
    }
  }
  return 0;
}

// The program java below a Java home, or nothing and a note.
std::optional<std::string> usable_java(const fs::path& home, const std::string& origin,
                                       Search& search) {
  const std::string place = origin + " " + home.string();
  const fs::path java = home / "bin" / "java";
  const int version = version_of_home(home);
  if (version != 0 && version < kOldestJava) {
    search.note(place + ": is Java " + std::to_string(version));
  } else if (!is_program(java)) {
    search.note(place + ": has no bin/java");
  } else {
    return absolute_path(java);
  }
  return std::nullopt;
}

// ---- Ray ---------------------------------------------------------------------------------------

const fs::path kJar = fs::path("ray") / "jars" / "ray_dist.jar";

// The python of a prefix whose packages are in this folder, such as lib/python3.12/site-packages.
std::string python_of(const fs::path& prefix, const fs::path& packages) {
  const std::string version = packages.parent_path().filename().string();
  for (const std::string& name : {version, std::string("python3"), std::string("python")}) {
    if (is_program(prefix / "bin" / name)) return absolute_path(prefix / "bin" / name);
  }
  return "";
}

// The Ray in the packages of the Python with this prefix.
std::optional<RayPackage> ray_of_prefix(const fs::path& prefix) {
  for (const char* lib : {"lib", "lib64", "local/lib"}) {
    for (const fs::path& python : entries(prefix / lib, "python3")) {
      for (const char* folder : {"site-packages", "dist-packages"}) {
        const fs::path packages = python / folder;
        if (is_file(packages / kJar) || is_file(packages / "ray" / "__init__.py")) {
          return RayPackage{python_of(prefix, packages), absolute_path(packages)};
        }
      }
    }
  }
  return std::nullopt;
}

// The first two numbers of a version: {2, 60} for "2.60.0"; those that are missing are 0.
using Release = std::pair<int, int>;
Release release(const std::string& version) {
  const size_t dot = version.find('.');
  return {std::atoi(version.c_str()),
          dot == std::string::npos ? 0 : std::atoi(version.c_str() + dot + 1)};
}

// That of a program in <prefix>/bin. The python of a virtual environment is a link to the one it
// was made from, which has other packages: look at each link of the chain, the first first.
std::optional<RayPackage> ray_of_program(fs::path program) {
  for (int links = 0; links < 16; ++links) {
    if (auto ray = ray_of_prefix(program.parent_path().parent_path())) return ray;
    std::error_code error;
    const fs::path target = fs::read_symlink(program, error);
    if (error) return std::nullopt;
    program = (program.parent_path() / target).lexically_normal();
  }
  return std::nullopt;
}

RayPackage search_ray(const Places& places) {
  Search search("The Python package ray",
                "Activate the Python environment that Ray is installed in, or set DEISA_PYTHON to "
                "its python.");
  if (const auto python = places.variable("DEISA_PYTHON")) {
    if (auto ray = ray_of_program(*python)) return *ray;
    // A prefix, such as a virtual environment's folder, is understood as well.
    if (auto ray = ray_of_prefix(*python)) return *ray;
    search.note("DEISA_PYTHON " + *python + ": has no package ray");
    search.fail();
  }
  if (const auto prefix = places.variable("VIRTUAL_ENV")) {
    if (auto ray = ray_of_prefix(*prefix)) return *ray;
    search.note("VIRTUAL_ENV " + *prefix + ": has no package ray");
  } else {
    search.note("VIRTUAL_ENV: not set");
  }
  for (const char* program : {"ray", "python3"}) {
    if (const auto found = on_path(places, program)) {
      if (auto ray = ray_of_program(*found)) return *ray;
      search.note(found->string() + ": has no package ray beside it");
    } else {
      search.note("PATH: has no " + std::string(program));
    }
  }
  search.fail();
}

// The version of the Ray in this folder of packages, such as "2.60.0"; "" when it is not known.
std::string ray_version(const std::string& packages) {
  std::ifstream file(fs::path(packages) / "ray" / "_version.py");
  const std::string key = "version = \"";
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) == 0) {
      return line.substr(key.size(), line.find('"', key.size()) - key.size());
    }
  }
  return "";
}

// One of unknown version passes: the cluster's own version is checked later.
void check_ray_version(const Places& places, const std::string& packages) {
  const std::string version = ray_version(packages);
  if (version.empty() || parse_truth(places.variable("DEISA_RAY_ANY").value_or("0")) == true)
    return;
  const Release found = release(version);
  if (!(found < release(DEISA_OLDEST_RAY)) && !(release(DEISA_NEWEST_RAY) < found)) return;
  throw Error(DEISA_ERROR_UNSUPPORTED,
              "Ray " + version + " (in " + packages + ") is not supported: expected " +
                  DEISA_OLDEST_RAY + " to " + DEISA_NEWEST_RAY +
                  ".\nChoose another one with DEISA_PYTHON, or, to try it all the same, set "
                  "DEISA_RAY_ANY=1.");
}

}  // namespace

Places Places::of_this_process(const std::map<std::string, std::string>& chosen) {
  Places places;
  places.variable = [chosen](const char* name) -> std::optional<std::string> {
    const auto found = chosen.find(name);
    if (found != chosen.end() && !found->second.empty()) return found->second;
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
  };
  Dl_info info;
  // Any address of this code will do; a variable's is a data pointer, which a function's is not.
  static const char here = 0;
  if (::dladdr(&here, &info) != 0 && info.dli_fname != nullptr) {
    std::error_code ignored;
    const fs::path file = fs::canonical(info.dli_fname, ignored);
    if (!ignored) places.library_folder = file.parent_path().string();
  }
#ifdef DEISA_SHARE
  places.share = DEISA_SHARE;
#endif
#ifdef DEISA_BUILD_JAR
  places.build_jar = DEISA_BUILD_JAR;
#endif
#ifdef DEISA_BUILD_PYTHON
  places.build_python = DEISA_BUILD_PYTHON;
#endif
  return places;
}

std::string find_java(const Places& places) {
  Search search("Java " + std::to_string(kOldestJava) + " or later",
                "Install a JRE (Debian: openjdk-17-jre-headless) or set DEISA_JAVA_HOME to one.");
  if (const auto home = places.variable("DEISA_JAVA_HOME")) {
    if (auto found = usable_java(*home, "DEISA_JAVA_HOME", search)) return *found;
    search.fail();
  }
  if (const auto home = places.variable("JAVA_HOME")) {
    if (auto found = usable_java(*home, "JAVA_HOME", search)) return *found;
  } else {
    search.note("JAVA_HOME: not set");
  }
  if (const auto java = on_path(places, "java")) {
    std::error_code ignored;
    const fs::path resolved = fs::canonical(*java, ignored);
    const fs::path home = resolved.parent_path().parent_path();
    if (auto found = usable_java(home, "the java on PATH", search)) return *found;
  } else {
    search.note("PATH: has no java");
  }
  std::vector<fs::path> homes = entries(places.jvm_root);
  homes.erase(
      std::remove_if(homes.begin(), homes.end(), [](auto& home) { return !is_folder(home); }),
      homes.end());
  std::stable_sort(homes.begin(), homes.end(), [](const fs::path& a, const fs::path& b) {
    return version_of_home(a) > version_of_home(b);
  });
  for (const fs::path& home : homes) {
    if (auto found = usable_java(home, "found", search)) return *found;
  }
  if (homes.empty()) search.note(places.jvm_root + ": has no Java");
  search.fail();
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const fs::path found = fs::absolute(path, error);
  return path.empty() || error ? path : found.string();
}

RayPackage find_ray(const Places& places) {
  RayPackage ray = search_ray(places);
  check_ray_version(places, ray.packages);
  if (ray.python.empty()) {
    throw Error(DEISA_ERROR_CONNECTION, "Ray is in " + ray.packages +
                                            ", but no python is in the folder bin of that Python.\n"
                                            "Set DEISA_PYTHON to a complete Python with Ray.");
  }
  return ray;
}

std::string find_ray_jar(const Places& places) {
  if (const auto jar = places.variable("DEISA_RAY_JAR")) {
    if (is_file(*jar)) {
      check_ray_version(places, packages_of(*jar));
      return absolute_path(*jar);
    }
    Search search("Ray's Java library",
                  "Set DEISA_RAY_JAR to the file ray/jars/ray_dist.jar of the Python package ray, "
                  "or leave it unset.");
    search.note("DEISA_RAY_JAR " + *jar + ": is not a file");
    search.fail();
  }
  const RayPackage ray = search_ray(places);
  check_ray_version(places, ray.packages);
  const fs::path jar = fs::path(ray.packages) / kJar;
  if (is_file(jar)) return jar.string();
  throw Error(DEISA_ERROR_CONNECTION,
              "Ray's Java library is not part of the Ray in " + ray.packages + ": there is no " +
                  kJar.string() +
                  ".\nUse `control: python` (DEISA_CONTROL), or install Ray from PyPI.");
}

std::string packages_of(const std::string& ray_jar) {
  return fs::path(ray_jar).parent_path().parent_path().parent_path().string();
}

std::string find_control_jar(const Places& places) {
  Search search("The jar deisa-bridge.jar",
                "Build it (mvn package) or reinstall deisa, or set DEISA_JAR to the jar.");
  if (const auto jar = places.variable("DEISA_JAR")) {
    if (is_file(*jar)) return absolute_path(*jar);
    search.note("DEISA_JAR " + *jar + ": is not a file");
    search.fail();
  }
  // Where the platform's jar is unpacked, for a Java simulation.
  const fs::path unpacked = fs::path(places.library_folder) / "deisa-bridge.jar";
  for (const fs::path& jar :
       {installed(places, "deisa-bridge.jar"), unpacked, fs::path(places.build_jar)}) {
    if (jar.empty()) continue;
    if (is_file(jar)) return jar.string();
    search.note(jar.string());
  }
  search.fail();
}

std::string find_python_path(const Places& places, const std::string& packages) {
  Search search(
      "The Python package deisa_bridge",
      "Install it in Ray's Python, reinstall deisa, or set DEISA_PYTHON_PATH to the folder "
      "that holds the folder deisa_bridge.");
  const auto holds_package = [](const fs::path& folder) {
    return is_folder(folder / "deisa_bridge");
  };
  if (const auto folder = places.variable("DEISA_PYTHON_PATH")) {
    if (holds_package(*folder)) return absolute_path(*folder);
    search.note("DEISA_PYTHON_PATH " + *folder + ": has no folder deisa_bridge");
    search.fail();
  }
  // Where the platform's jar is unpacked, for a Java simulation.
  const fs::path unpacked = fs::path(places.library_folder) / "python";
  for (const fs::path& folder :
       {installed(places, "python"), unpacked, fs::path(places.build_python), fs::path(packages)}) {
    if (folder.empty()) continue;
    if (holds_package(folder)) return folder.string();
    search.note(folder.string());
  }
  search.fail();
}

int java_version(const std::string& java) {
  // <home>/bin/java
  return version_of_home(fs::path(java).parent_path().parent_path());
}

}  // namespace deisa
