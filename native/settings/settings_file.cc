#include "settings/settings_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file_descriptor.hpp"
#include "base/json_text.hpp"
#include "settings/settings.hpp"
#include "settings/yaml_library.hpp"

namespace deisa {
namespace {

using nlohmann::json;

// More than any settings file needs; a file named by mistake is not read to its end.
constexpr size_t kMostBytes = 1 << 20;

std::string read_text(const std::string& path) {
  // Not blocking: the path may name a pipe that nobody writes to.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat state{};
  if (file.get() < 0 || ::fstat(file.get(), &state) != 0) {
    throw Error(DEISA_ERROR_ARGUMENT, std::strerror(errno));
  }
  if (!S_ISREG(state.st_mode)) throw Error(DEISA_ERROR_ARGUMENT, "it is not a file");
  std::string text;
  char buffer[16384];
  while (true) {
    const ssize_t got = ::read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(DEISA_ERROR_ARGUMENT, std::strerror(errno));
    if (got == 0) return text;
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kMostBytes) throw Error(DEISA_ERROR_ARGUMENT, "it is larger than 1 MiB");
  }
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

SettingsFile::SettingsFile(const std::string& path, Problems& problems) : path_(path) {
  if (path.empty()) return;
  const json parsed = parse(problems);
  if (parsed.is_null()) return;  // an empty YAML file, or one with a problem
  if (!parsed.is_object()) {
    problems.add(path + ": it holds " + shown(parsed) + ": expected an object, setting -> value");
    return;
  }
  json values = json::object();
  for (const auto& [key, value] : parsed.items()) {
    if (key == "arrays") {
      read_filters(value, problems);
    } else if (!is_setting(key)) {
      problems.add(path + ": " + shown(key) + " = " + shown(value) +
                   ": there is no such setting: expected " + known_settings(key, "arrays"));
    } else if (!value.is_null()) {
      values[key] = value;
    } else if (key == "backend") {
      values[key] = "null";  // unquoted, it is the word of this backend all the same
    }
  }
  values_ = std::make_shared<const json>(std::move(values));
}

json SettingsFile::parse(Problems& problems) const {
  const bool yaml = ends_with(path_, ".yaml") || ends_with(path_, ".yml");
  if (!yaml && !ends_with(path_, ".json")) {
    problems.add(path_ +
                 " (from DEISA_CONFIG): expected a file whose name ends in .json, .yaml or .yml");
    return nullptr;
  }
  try {
    const auto twice = [&](const std::string& key, size_t) {
      problems.add(path_ + ": the key " + shown(key) + " is there twice: expected each once");
    };
    const std::string text = read_text(path_);
    return parse_json(yaml ? yaml_to_json(text) : text, twice);
  } catch (const json::exception& error) {
    problems.add(path_ + ": it is not JSON: " + error.what());
  } catch (const Error& error) {
    problems.add(path_ + " (from DEISA_CONFIG) cannot be read: " + error.what());
  }
  return nullptr;
}

const json* SettingsFile::find(const std::string& name) const {
  if (values_ == nullptr) return nullptr;
  const auto found = values_->find(name);
  return found != values_->end() ? &*found : nullptr;
}

void SettingsFile::read_filters(const json& arrays, Problems& problems) {
  const auto problem = [&](const std::string& key, const json& value, const char* expected) {
    problems.add(path_ + ": " + key + " = " + shown(value) + ": expected " + expected);
  };
  if (arrays.is_null()) return;
  if (!arrays.is_object()) {
    problem("arrays", arrays, "an object, array name -> {send, every, aggregate}");
    return;
  }
  for (const auto& [name, of_array] : arrays.items()) {
    const std::string where = "arrays." + name;
    ArrayFilter filter;
    if (!of_array.is_object() && !of_array.is_null()) {
      problem(where, of_array, "an object with the keys send, every and aggregate");
      continue;
    }
    for (const auto& [key, value] : of_array.items()) {
      if (key == "send") {
        if (const auto truth = truth_of(value)) {
          filter.send = *truth;
        } else {
          problem(where + ".send", value, "true or false");
        }
      } else if (key == "every") {
        // Beyond int64 it would be unsigned.
        if (value.is_number_integer() && value >= 1 && value <= INT64_MAX) {
          filter.every = value.get<int64_t>();
        } else {
          problem(where + ".every", value, "an integer, at least 1");
        }
      } else if (key == "aggregate") {
        if (value.is_string()) filter.aggregate = aggregate_from_word(value.get<std::string>());
        if (!filter.aggregate) problem(where + ".aggregate", value, kAggregateRule);
      } else {
        problem(where + "." + key, value, "no such key; the keys are send, every and aggregate");
      }
    }
    filters_.add(name, filter);
  }
}

}  // namespace deisa
