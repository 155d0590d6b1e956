#include "base/json_text.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "base/number.hpp"
#include "base/truth.hpp"

namespace deisa {

using nlohmann::json;

constexpr int kMostDepth = 64;

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 120) text = text.substr(0, 117) + "...";
  return text;
}

std::optional<bool> truth_of(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return parse_truth(value.get<std::string>());
  return value.is_number_integer() ? parse_truth(value.dump()) : std::nullopt;
}

json parse_json(const std::string& text,
                const std::function<void(const std::string& key, size_t depth)>& twice) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto look = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMostDepth) {
      throw Error(DEISA_ERROR_ARGUMENT, "it is nested deeper than " + std::to_string(kMostDepth));
    }
    if (event == json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key) {
      const std::string key = parsed.get<std::string>();
      if (!keys.back().insert(key).second) twice(key, keys.size());
    }
    return true;
  };
  const PlainNumbers whatever_the_locale;
  return json::parse(text, look);
}

}  // namespace deisa
