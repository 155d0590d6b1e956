// A made-up machine for the tests of this component and of deisa-info: a temporary folder and variables.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>

#include "base/error.hpp"
#include "control/locate.hpp"

namespace deisa {

class Machine {
 public:
  Machine() {
    std::string pattern = (std::filesystem::temp_directory_path() / "deisa-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    root_ = pattern;
    places.variable = [this](const char* name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      if (found == variables.end()) return std::nullopt;
      return found->second;
    };
    places.jvm_root = (root_ / "jvm").string();
    places.library_folder = (root_ / "install/lib").string();
    places.proc = (root_ / "proc").string();
  }
  ~Machine() { std::filesystem::remove_all(root_); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // The full path of a name on this machine.
  std::string path(const std::string& name) const { return (root_ / name).string(); }

  // Makes a file, and its folders; returns its path.
  std::string file(const std::string& name, const std::string& content = "",
                   bool executable = false) {
    const std::filesystem::path full = root_ / name;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full, std::ios::binary) << content;
    if (executable) std::filesystem::permissions(full, std::filesystem::perms::owner_all);
    return full.string();
  }

  void link(const std::string& name, const std::string& target) {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::filesystem::create_symlink(target, root_ / name);
  }

  // A Java home; returns the path of its program.
  std::string java(const std::string& home, const std::string& version) {
    file(home + "/release", "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"" + version + "\"\n");
    file(home + "/lib/server/libjvm.so");
    file(home + "/lib/server/classes.jsa");
    return file(home + "/bin/java", "", true);
  }

  // A Python prefix with Ray; returns the path of the jar.
  std::string ray(const std::string& prefix) {
    file(prefix + "/bin/ray", "", true);
    file(prefix + "/bin/python3", "", true);
    file(prefix + "/bin/python3.12", "", true);
    return file(prefix + "/lib/python3.12/site-packages/ray/jars/ray_dist.jar");
  }

  Places places;
  std::map<std::string, std::string> variables;

 private:
  std::filesystem::path root_;
};

// The message of the Error that `action` throws, which must have this status.
template <typename Action>
std::string error_with(deisa_status status, Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.status() == status
               ? error.what()
               : "wrong status " + std::to_string(error.status()) + ": " + error.what();
  }
  return "no error";
}

}  // namespace deisa
