// The words for true and false.
#pragma once

#include <optional>
#include <string>

namespace deisa {

// true, yes, on and 1; false, no, off and 0; in any case of letters. nullopt: another text.
inline std::optional<bool> parse_truth(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const char* yes : {"1", "true", "yes", "on"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "false", "no", "off"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

}  // namespace deisa
