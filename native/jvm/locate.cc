#include "jvm/locate.hpp"

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
    if (end > begin && is_file(candidate) && ::access(candidate.c_str(), X_OK) == 0) {
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

// libjvm.so below a Java home, or nothing and a note.
std::optional<std::string> usable_jvm(const fs::path& home, const std::string& origin,
                                      Search& search) {
  const std::string place = origin + " " + home.string();
  const fs::path library = home / "lib" / "server" / "libjvm.so";
  const int version = version_of_home(home);
  if (version != 0 && version < kOldestJava) {
    search.note(place + ": is Java " + std::to_string(version));
  } else if (!is_file(library)) {
    search.note(place + ": has no lib/server/libjvm.so");
  } else {
    return library.string();
  }
  return std::nullopt;
}

// ---- Ray's jar ---------------------------------------------------------------------------------

// ray_dist.jar in the packages of the Python with this prefix.
std::optional<std::string> jar_of_prefix(const fs::path& prefix) {
  for (const char* lib : {"lib", "lib64", "local/lib"}) {
    for (const fs::path& python : entries(prefix / lib, "python3")) {
      for (const char* packages : {"site-packages", "dist-packages"}) {
        const fs::path jar = python / packages / "ray" / "jars" / "ray_dist.jar";
        if (is_file(jar)) return jar.string();
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

// The jar for a program in <prefix>/bin. The python of a virtual environment is a link to the one
// it was made from, which has other packages: look at each link of the chain, the first first.
std::optional<std::string> jar_of_program(fs::path program) {
  for (int links = 0; links < 16; ++links) {
    if (auto jar = jar_of_prefix(program.parent_path().parent_path())) return jar;
    std::error_code error;
    const fs::path target = fs::read_symlink(program, error);
    if (error) return std::nullopt;
    program = (program.parent_path() / target).lexically_normal();
  }
  return std::nullopt;
}

std::string search_ray_jar(const Places& places) {
  Search search("Ray's Java library (ray/jars/ray_dist.jar of the Python package ray)",
                "Activate the Python environment that Ray is installed in, or set DEISA_PYTHON to "
                "its python, or DEISA_RAY_JAR to the jar.");
  if (const auto jar = places.variable("DEISA_RAY_JAR")) {
    if (is_file(*jar)) return *jar;
    search.note("DEISA_RAY_JAR " + *jar + ": is not a file");
    search.fail();
  }
  if (const auto python = places.variable("DEISA_PYTHON")) {
    if (auto jar = jar_of_program(*python)) return *jar;
    // A prefix, such as a virtual environment's folder, is understood as well.
    if (auto jar = jar_of_prefix(*python)) return *jar;
    search.note("DEISA_PYTHON " + *python + ": has no package ray");
    search.fail();
  }
  if (const auto prefix = places.variable("VIRTUAL_ENV")) {
    if (auto jar = jar_of_prefix(*prefix)) return *jar;
    search.note("VIRTUAL_ENV " + *prefix + ": has no package ray");
  } else {
    search.note("VIRTUAL_ENV: not set");
  }
  for (const char* program : {"ray", "python3"}) {
    if (const auto found = on_path(places, program)) {
      if (auto jar = jar_of_program(*found)) return *jar;
      search.note(found->string() + ": has no package ray beside it");
    } else {
      search.note("PATH: has no " + std::string(program));
    }
  }
  search.fail();
}

// The version of the Ray that this jar is part of, such as "2.60.0"; "" when it lies alone.
std::string ray_version(const std::string& ray_jar) {
  // <site-packages>/ray/jars/ray_dist.jar
  std::ifstream file(fs::path(ray_jar).parent_path().parent_path() / "_version.py");
  const std::string key = "version = \"";
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) == 0) {
      return line.substr(key.size(), line.find('"', key.size()) - key.size());
    }
  }
  return "";
}

// A jar of unknown version passes: the cluster's own version is checked later.
void check_ray_version(const Places& places, const std::string& ray_jar) {
  const std::string version = ray_version(ray_jar);
  if (version.empty() || parse_truth(places.variable("DEISA_RAY_ANY").value_or("0")) == true)
    return;
  const Release found = release(version);
  if (!(found < release(DEISA_OLDEST_RAY)) && !(release(DEISA_NEWEST_RAY) < found)) return;
  throw Error(DEISA_ERROR_UNSUPPORTED,
              "Ray " + version + " (of " + ray_jar + ") is not supported: expected " +
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

std::string find_libjvm(const Places& places) {
  Search search("Java " + std::to_string(kOldestJava) + " or later (its libjvm.so)",
                "Install a JRE (Debian: openjdk-17-jre-headless) or set DEISA_JAVA_HOME to one.");
  if (const auto home = places.variable("DEISA_JAVA_HOME")) {
    if (auto found = usable_jvm(*home, "DEISA_JAVA_HOME", search)) return *found;
    search.fail();
  }
  if (const auto home = places.variable("JAVA_HOME")) {
    if (auto found = usable_jvm(*home, "JAVA_HOME", search)) return *found;
  } else {
    search.note("JAVA_HOME: not set");
  }
  if (const auto java = on_path(places, "java")) {
    std::error_code ignored;
    const fs::path resolved = fs::canonical(*java, ignored);
    const fs::path home = resolved.parent_path().parent_path();
    if (auto found = usable_jvm(home, "the java on PATH", search)) return *found;
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
    if (auto found = usable_jvm(home, "found", search)) return *found;
  }
  if (homes.empty()) search.note(places.jvm_root + ": has no Java");
  search.fail();
}

std::string find_ray_jar(const Places& places) {
  std::string jar = search_ray_jar(places);
  check_ray_version(places, jar);
  return jar;
}

std::string find_control_jar(const Places& places) {
  Search search("The jar deisa-bridge.jar",
                "Build it (mvn package) or reinstall deisa, or set DEISA_JAR to the jar.");
  if (const auto jar = places.variable("DEISA_JAR")) {
    if (is_file(*jar)) return *jar;
    search.note("DEISA_JAR " + *jar + ": is not a file");
    search.fail();
  }
  for (const fs::path& jar : {installed(places, "deisa-bridge.jar"), fs::path(places.build_jar)}) {
    if (jar.empty()) continue;
    if (is_file(jar)) return jar.string();
    search.note(jar.string());
  }
  search.fail();
}

std::string find_python_path(const Places& places, const std::string& ray_jar) {
  Search search(
      "The Python package deisa_bridge",
      "Install it in Ray's Python, reinstall deisa, or set DEISA_PYTHON_PATH to the folder "
      "that holds the folder deisa_bridge.");
  const auto holds_package = [](const fs::path& folder) {
    return is_folder(folder / "deisa_bridge");
  };
  if (const auto folder = places.variable("DEISA_PYTHON_PATH")) {
    if (holds_package(*folder)) return *folder;
    search.note("DEISA_PYTHON_PATH " + *folder + ": has no folder deisa_bridge");
    search.fail();
  }
  // Where the platform's jar is unpacked, for a Java simulation.
  const fs::path unpacked = fs::path(places.library_folder) / "python";
  // <site-packages>/ray/jars/ray_dist.jar
  const fs::path packages = fs::path(ray_jar).parent_path().parent_path().parent_path();
  for (const fs::path& folder :
       {installed(places, "python"), unpacked, fs::path(places.build_python), packages}) {
    if (folder.empty()) continue;
    if (holds_package(folder)) return folder.string();
    search.note(folder.string());
  }
  search.fail();
}

int java_version(const std::string& libjvm) {
  // <home>/lib/server/libjvm.so
  return version_of_home(fs::path(libjvm).parent_path().parent_path().parent_path());
}

}  // namespace deisa
