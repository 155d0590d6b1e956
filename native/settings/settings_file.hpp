// The settings file that DEISA_CONFIG names: JSON, or YAML by a library of its own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/problems.hpp"

namespace deisa {

// Whether and how often an array is sent.
struct ArrayChoice {
  bool send = true;
  int64_t every = 1;  // it is sent at the timesteps that this divides

  bool wants(int64_t timestep) const { return send && timestep % every == 0; }
};

// The settings file's choices; without a file, every array is always sent.
class ArrayChoices {
 public:
  // The name that stands for every array without an entry of its own.
  static constexpr const char* kAny = "*";

  void add(const std::string& name, const ArrayChoice& choice) { by_name_[name] = choice; }
  ArrayChoice of(const std::string& name) const;
  // The names of the entries, but for kAny.
  std::vector<std::string> names() const;
  // All of it, for comparing and for messages: equal texts choose alike.
  std::string text() const;

 private:
  std::map<std::string, ArrayChoice> by_name_;
};

class SettingsFile {
 public:
  SettingsFile() = default;  // no file
  // Reads the file and checks its keys and the choices of arrays. The values of other settings are
  // checked by who uses them. Problems are added, each with file, key, value and what was expected.
  SettingsFile(const std::string& path, Problems& problems);

  const std::string& path() const noexcept { return path_; }
  // What the file says about a setting; NULL: nothing.
  const nlohmann::json* find(const std::string& name) const;
  const ArrayChoices& arrays() const noexcept { return arrays_; }

 private:
  nlohmann::json parse(Problems& problems) const;
  void read_arrays(const nlohmann::json& arrays, Problems& problems);

  std::string path_;
  std::shared_ptr<const nlohmann::json> values_;  // an object; NULL: nothing
  ArrayChoices arrays_;
};

}  // namespace deisa
