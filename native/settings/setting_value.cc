#include "settings/setting_value.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/json_text.hpp"
#include "base/number.hpp"
#include "base/truth.hpp"
#include "control/cluster.hpp"

namespace deisa {
namespace {

using nlohmann::json;
using Type = Setting::Type;

// Where a text stands that the program gave.
constexpr const char* kTexts = "the program's settings";

// Whether a number is one that the setting allows.
bool allows(const Setting& setting, double value) {
  if (!std::isfinite(value)) return false;
  if (setting.type == Type::kSeconds) return value > 0;
  if (setting.type == Type::kTimeout) return value >= 0 || value == -1;
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

const char* Resolver::text_of(const Setting& setting) const {
  const auto found = texts_.find(setting.name);
  return found != texts_.end() && !found->second.empty() ? found->second.c_str() : nullptr;
}

const char* Resolver::variable_of(const Setting& setting) const {
  const char* value = environment_(setting.variable);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

void Resolver::problem(const Setting& setting, const std::string& shown_value) const {
  const char* name = *setting.name != '\0' ? setting.name : setting.variable;
  problems_.add(std::string(name) + " = " + shown_value + ": expected " + expected(setting));
}

void Resolver::problem(const Setting& setting, const std::string& text,
                       const std::string& from) const {
  problem(setting, "'" + text + "' (from " + from + ")");
}

void Resolver::problem(const Setting& setting, const json& value) const {
  problem(setting, shown(value) + " (from " + file_.path() + ")");
}

std::string Resolver::good_text(const Setting& one, const std::string& value,
                                const std::string& from) const {
  const std::string shown_value = "'" + value + "'" + (from.empty() ? "" : " (from " + from + ")");
  if (value.empty()) return value;
  if (one.type == Type::kAddress) {
    const std::string why = why_no_address(value);
    if (!why.empty()) problem(one, shown_value + " " + why);
  } else if (one.type == Type::kClass) {
    const size_t colon = value.find(':');
    const bool good = colon != std::string::npos && colon > 0 && colon + 1 < value.size() &&
                      value.find(':', colon + 1) == std::string::npos;
    if (!good) problem(one, shown_value);
  } else if (one.type == Type::kPath || one.type == Type::kFolder) {
    // The program may change its folder before the path is used.
    std::error_code failed;
    const std::filesystem::path path = std::filesystem::absolute(value, failed);
    if (failed) {
      problem(one, shown_value + " cannot be made absolute, " + failed.message());
    } else if (one.type == Type::kFolder && !std::filesystem::is_directory(path, failed)) {
      problem(one, shown_value);
    }
    return path.string();
  }
  return value;
}

std::string Resolver::text(const char* name, const char* given, const char* otherwise) const {
  const Setting& one = setting(name);
  std::optional<std::string> result;
  if (const char* value = text_of(one)) result = good_text(one, value, kTexts);
  if (const json* in_file = file_.find(one.name)) {
    if (!in_file->is_string()) {
      problem(one, *in_file);
    } else if (const std::string& value = in_file->get_ref<const std::string&>(); !value.empty()) {
      result = good_text(one, value, file_.path());
    }
  }
  if (const char* value = variable_of(one)) result = good_text(one, value, one.variable);
  if (result) return *result;
  if (given != nullptr && *given != '\0') return good_text(one, given, "");
  // One that nobody has chosen is no error, not even where the program's folder has been removed.
  std::error_code failed;
  const std::filesystem::path path = std::filesystem::absolute(otherwise, failed);
  return one.type == Type::kPath && *otherwise != '\0' && !failed ? path.string() : otherwise;
}

double Resolver::in_range(const Setting& one, double given) const {
  std::optional<double> result;
  const auto take = [&](const std::string& text, const std::string& from) {
    const std::optional<double> value = parse_number(text.c_str());
    const bool good = value && allows(one, *value);
    if (!good) problem(one, text, from);
    result = good ? *value : some_value(one);
  };
  // Each value is checked, even where another replaces it.
  if (const char* text = text_of(one)) take(text, kTexts);
  if (const json* value = file_.find(one.name)) {
    const bool good = value->is_number() && allows(one, value->get<double>());
    if (!good) problem(one, *value);
    result = good ? value->get<double>() : some_value(one);
  }
  if (const char* text = variable_of(one)) take(text, one.variable);
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
  const auto take = [&](const std::string& text, const std::string& from) {
    const std::optional<bool> truth = parse_truth(text);
    if (!truth) problem(one, text, from);
    result = truth.value_or(result);
  };
  if (const char* text = text_of(one)) take(text, kTexts);
  if (const json* value = file_.find(one.name)) {
    const std::optional<bool> truth = truth_of(*value);
    if (!truth) problem(one, *value);
    result = truth.value_or(result);
  }
  if (const char* text = variable_of(one)) take(text, one.variable);
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
  const auto take = [&](const std::string& text, const std::string& from) {
    result = index_of(text);
    if (!result) problem(one, text, from);
    result = result.value_or(0);
  };
  if (const char* text = text_of(one)) take(text, kTexts);
  if (const json* value = file_.find(one.name)) {
    result = value->is_string() ? index_of(value->get<std::string>()) : std::nullopt;
    if (!result) problem(one, *value);
    result = result.value_or(0);
  }
  if (const char* text = variable_of(one)) take(text, one.variable);
  if (result) return *result;
  if (given >= 0 && static_cast<size_t>(given) < words.size()) return given;
  problem(one, std::to_string(given));
  return 0;
}

std::map<std::string, std::string> Resolver::places() const {
  std::map<std::string, std::string> found;
  for (const Setting& one : all_settings()) {
    if (one.group != Setting::Group::kPlace) continue;
    const bool is_switch = one.type == Type::kSwitch;
    const std::string value =
        is_switch ? (on(one.variable, false) ? "1" : "0") : text(one.variable, nullptr, "");
    if (!value.empty()) found[one.variable] = value;
  }
  return found;
}

}  // namespace deisa
