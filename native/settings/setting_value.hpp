// The value of one setting: the caller's, replaced by that of the caller's texts, the settings
// file's, then by the environment's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/problems.hpp"
#include "settings/options.hpp"
#include "settings/settings.hpp"
#include "settings/settings_file.hpp"

namespace deisa {

// Each function names a setting of the table and takes the value that the caller gave. Every value
// of the texts, the file and the environment is checked by the table, also one that another replaces; the
// caller's where it counts. A value with a problem is added to the problems, and the result is then
// some value in the range.
class Resolver {
 public:
  // `texts`: by the setting's name.
  Resolver(Environment environment, const SettingsFile& file,
           std::map<std::string, std::string> texts, Problems& problems)
      : environment_(environment), file_(file), texts_(std::move(texts)), problems_(problems) {}

  // `given` may be NULL or empty, for `otherwise`.
  std::string text(const char* name, const char* given, const char* otherwise) const;
  int integer(const char* name, int64_t given) const;
  double number(const char* name, double given) const;  // also of seconds
  bool on(const char* name, bool given) const;
  template <typename Enum>
  Enum choice(const char* name, Enum given) const {
    return static_cast<Enum>(choice_index(name, static_cast<int>(given)));
  }
  // The settings of the group kPlace that have a value, by variable.
  std::map<std::string, std::string> places() const;

 private:
  // The value as it is used. `from`: where it stands; "": in the program.
  std::string good_text(const Setting& setting, const std::string& value,
                        const std::string& from) const;
  int choice_index(const char* name, int given) const;
  double in_range(const Setting& setting, double given) const;
  // The value of the caller's texts, or NULL.
  const char* text_of(const Setting& setting) const;
  // The environment's value, or NULL.
  const char* variable_of(const Setting& setting) const;
  void problem(const Setting& setting, const std::string& shown_value) const;
  void problem(const Setting& setting, const std::string& text, const std::string& from) const;
  void problem(const Setting& setting, const nlohmann::json& value) const;

  Environment environment_;
  const SettingsFile& file_;
  std::map<std::string, std::string> texts_;
  Problems& problems_;
};

}  // namespace deisa
