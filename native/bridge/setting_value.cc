#include "bridge/setting_value.hpp"

#include <algorithm>
#include <cmath>

#include "base/number.hpp"
#include "bridge/json_text.hpp"

namespace deisa {
namespace {

using nlohmann::json;
using Type = Setting::Type;

// Whether a number is one that the setting allows.
bool allows(const Setting& setting, double value) {
  if (!std::isfinite(value)) return false;
  if (setting.type == Type::kSeconds) return value > 0;
  if (setting.type == Type::kPatience) return value >= 0 || value == -1;
  if (setting.type == Type::kPart) return value > 0 && value <= 1;
  return value >= setting.least && value <= setting.most &&
         (setting.type != Type::kInteger || value == std::trunc(value));
}

// In the place of a value with a problem.
double some_value(const Setting& setting) {
  return setting.type == Type::kInteger || setting.type == Type::kNumber ? setting.least : 1.0;
}

std::string expected(const Setting& setting) {
  if (setting.type != Type::kChoice) return setting.expected;
  std::string text = "one of";
  for (const std::string& word : choices(setting)) text += " " + word;
  return text;
}

}  // namespace

std::optional<bool> switch_of(const std::string& text) {
  std::string lower = text;
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  for (const char* yes : {"1", "true", "yes", "on"}) {
    if (lower == yes) return true;
  }
  for (const char* no : {"0", "false", "no", "off"}) {
    if (lower == no) return false;
  }
  return std::nullopt;
}

const char* Resolver::variable_of(const Setting& setting) const {
  const char* value = environment_(setting.variable);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

void Resolver::problem(const Setting& setting, const std::string& shown_value) const {
  problems_.add(std::string(setting.name) + " = " + shown_value + ": expected " +
                expected(setting));
}

void Resolver::problem(const Setting& setting, const char* text) const {
  problem(setting, std::string("'") + text + "' (from " + setting.variable + ")");
}

void Resolver::problem(const Setting& setting, const json& value) const {
  problem(setting, shown(value) + " (from " + file_.path() + ")");
}

std::string Resolver::text(const char* name, const char* given, const char* otherwise) const {
  const Setting& one = setting(name);
  const json* in_file = file_.find(name);
  if (in_file != nullptr && !in_file->is_string()) problem(one, *in_file);
  if (const char* value = variable_of(one)) return value;
  if (in_file != nullptr && in_file->is_string() &&
      !in_file->get_ref<const std::string&>().empty()) {
    return in_file->get<std::string>();
  }
  return given != nullptr && *given != '\0' ? given : otherwise;
}

double Resolver::in_range(const Setting& one, double given) const {
  std::optional<double> result;
  // A value of the file is checked even where the environment replaces it.
  if (const json* value = file_.find(one.name)) {
    const bool good = value->is_number() && allows(one, value->get<double>());
    if (!good) problem(one, *value);
    result = good ? value->get<double>() : some_value(one);
  }
  if (const char* text = variable_of(one)) {
    const std::optional<double> value = parse_number(text);
    const bool good = value && allows(one, *value);
    if (!good) problem(one, text);
    result = good ? *value : some_value(one);
  }
  if (result) return *result;
  if (allows(one, given)) return given;
  problem(one, number_text(given));
  return some_value(one);
}

int Resolver::integer(const char* name, int64_t given) const {
  return static_cast<int>(in_range(setting(name), static_cast<double>(given)));
}

double Resolver::number(const char* name, double given) const {
  return in_range(setting(name), given);
}

bool Resolver::on(const char* name, bool given) const {
  const Setting& one = setting(name);
  bool result = given;
  if (const json* value = file_.find(name)) {
    if (value->is_boolean()) {
      result = value->get<bool>();
    } else {
      problem(one, *value);
    }
  }
  if (const char* text = variable_of(one)) {
    const std::optional<bool> value = switch_of(text);
    if (!value) problem(one, text);
    result = value.value_or(result);
  }
  return result;
}

int Resolver::choice_index(const char* name, int given) const {
  const Setting& one = setting(name);
  const std::vector<std::string> words = choices(one);
  const auto index_of = [&](const std::string& word) {
    const auto found = std::find(words.begin(), words.end(), word);
    return found != words.end() ? std::optional<int>(static_cast<int>(found - words.begin()))
                                : std::nullopt;
  };
  std::optional<int> result;
  if (const json* value = file_.find(name)) {
    result = value->is_string() ? index_of(value->get<std::string>()) : std::nullopt;
    if (!result) problem(one, *value);
    result = result.value_or(0);
  }
  if (const char* text = variable_of(one)) {
    const std::optional<int> index = index_of(text);
    if (!index) problem(one, text);
    result = index.value_or(0);
  }
  if (result) return *result;
  if (given >= 0 && static_cast<size_t>(given) < words.size()) return given;
  problem(one, std::to_string(given));
  return 0;
}

std::map<std::string, std::string> Resolver::places() const {
  std::map<std::string, std::string> found;
  for (const Setting& one : all_settings()) {
    if (one.group != Setting::Group::kPlace || *one.name == '\0') continue;
    const json* value = file_.find(one.name);
    if (value == nullptr) continue;
    if (one.type == Type::kSwitch) {
      found[one.variable] = on(one.name, false) ? "1" : "0";
    } else {
      found[one.variable] = text(one.name, nullptr, "");
    }
  }
  return found;
}

}  // namespace deisa
