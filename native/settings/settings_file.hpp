// The settings file that DEISA_CONFIG names: JSON, or YAML by a library of its own.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/problems.hpp"
#include "chunk/filters.hpp"

namespace deisa {

class SettingsFile {
 public:
  SettingsFile() = default;  // no file
  // Reads the file and checks its keys and the filters of arrays. The values of other settings are
  // checked by who uses them. Problems are added, each with file, key, value and what was expected.
  SettingsFile(const std::string& path, Problems& problems);

  const std::string& path() const noexcept { return path_; }
  // What the file says about a setting; NULL: nothing.
  const nlohmann::json* find(const std::string& name) const;
  const ArrayFilters& filters() const noexcept { return filters_; }

 private:
  nlohmann::json parse(Problems& problems) const;
  void read_filters(const nlohmann::json& arrays, Problems& problems);

  std::string path_;
  std::shared_ptr<const nlohmann::json> values_;  // an object; NULL: nothing
  ArrayFilters filters_;
};

}  // namespace deisa
