// Every setting: its name, its environment variable, its type, default and meaning. Parsing, error
// messages and docs/settings.md are made from this one table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace deisa {

struct Setting {
  enum class Group {
    kOption,  // a member of deisa_options of the same name
    kBeyond,  // of a bridge, too, but only from outside the program
    kPlace,   // where something is found
    kTest,    // for this project's tests
  };
  enum class Type {
    kText,
    kClass,    // module:Class
    kAddress,  // of Ray: host:port, or auto
    kPath,     // of a file or folder; made absolute
    kFolder,   // as kPath, and there already
    kSwitch,
    kInteger,
    kNumber,
    kSeconds,  // > 0
    kTimeout,  // seconds, >= 0, or -1
    kPart,     // > 0, <= 1
    kChoice,
  };

  Group group;
  Type type;
  const char* name;      // the key in the settings file; "" if it is read from the environment only
  const char* variable;  // "" if it is read from the file only
  // What a value must be, for error messages. Choices: the words, in the order of the enumeration
  // and separated by " | ".
  const char* expected;
  const char* fallback;  // the default, in words
  const char* meaning;
  double least = 0;  // of kInteger and kNumber
  double most = 0;
};

// In the order of the documentation.
const std::vector<Setting>& all_settings();
// By its name, or by its variable. Throws Error(DEISA_ERROR_INTERNAL) if there is none.
const Setting& setting(const std::string& name);

// Whether a settings file may have this key.
bool is_setting(const std::string& name);
// What a name that is none could have been: the nearest, else the common ones and `more`, as a list.
std::string known_settings(const std::string& given, const std::string& more = "");

// Whether its value is some text, which a settings file must quote as such.
bool is_text(const Setting& setting);

// The words of a setting of type kChoice, in order.
std::vector<std::string> choices(const Setting& setting);

// The tables of docs/settings.md, in Markdown.
std::string settings_markdown();

}  // namespace deisa
