#include "chunk/arrow_metadata.hpp"

#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.hpp"

namespace deisa {
namespace {

constexpr char kNameKey[] = "ARROW:extension:name";
constexpr char kMetadataKey[] = "ARROW:extension:metadata";

// Texts from outside are cut in messages.
std::string quoted(const std::string& text) {
  constexpr size_t most = 200;
  return text.size() <= most ? "'" + text + "'" : "'" + text.substr(0, most) + "...'";
}

int32_t read_count(const char*& at, const char* what) {
  int32_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  at += sizeof(value);
  if (value < 0) {
    throw Error(DEISA_ERROR_CONTRACT,
                std::string("The Arrow schema's metadata has a negative ") + what + " (" +
                    std::to_string(value) +
                    "); it is malformed, or not in this machine's byte order.");
  }
  return value;
}

std::string read_text(const char*& at) {
  const auto length = static_cast<size_t>(read_count(at, "length of a key or value"));
  std::string text(at, length);
  at += length;
  return text;
}

void write_count(std::string& to, size_t value) {
  const auto count = static_cast<int32_t>(value);
  char bytes[sizeof(count)];
  std::memcpy(bytes, &count, sizeof(count));
  to.append(bytes, sizeof(count));
}

void write_text(std::string& to, const std::string& text) {
  write_count(to, text.size());
  to += text;
}

[[noreturn]] void bad_parameters(const std::string& json, const std::string& why) {
  throw Error(DEISA_ERROR_CONTRACT,
              std::string("The metadata of ") + kTensorExtension + " " + quoted(json) + " " + why);
}

std::vector<int64_t> read_integers(const nlohmann::json& value, const char* key,
                                   const std::string& json) {
  const std::string expected =
      std::string("; expected 1 to ") + std::to_string(DEISA_MAX_DIMENSIONS) + " integers.";
  if (!value.is_array() || value.empty() || value.size() > DEISA_MAX_DIMENSIONS) {
    bad_parameters(json, std::string("have no valid \"") + key + "\"" + expected);
  }
  std::vector<int64_t> integers;
  for (const nlohmann::json& item : value) {
    if (!item.is_number_integer() ||
        (item.is_number_unsigned() && item.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))) {
      bad_parameters(json,
                     std::string("have a value in \"") + key + "\" that is no integer" + expected);
    }
    integers.push_back(item.get<int64_t>());
  }
  return integers;
}

}  // namespace

ArrowExtension read_arrow_extension(const char* metadata) {
  ArrowExtension extension;
  if (metadata == nullptr) return extension;
  const char* at = metadata;
  const int32_t pairs = read_count(at, "number of pairs");
  for (int32_t i = 0; i < pairs; ++i) {
    const std::string key = read_text(at);
    std::string value = read_text(at);
    if (key == kNameKey)
      extension.name = std::move(value);
    else if (key == kMetadataKey)
      extension.metadata = std::move(value);
  }
  return extension;
}

std::string write_arrow_extension(const ArrowExtension& extension) {
  std::string metadata;
  write_count(metadata, 2);
  write_text(metadata, kNameKey);
  write_text(metadata, extension.name);
  write_text(metadata, kMetadataKey);
  write_text(metadata, extension.metadata);
  return metadata;
}

TensorParameters read_tensor_parameters(const std::string& json) {
  const nlohmann::json object = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("shape")) {
    bad_parameters(json, "are no JSON object with the key \"shape\".");
  }
  TensorParameters parameters;
  parameters.shape = read_integers(object["shape"], "shape", json);
  for (const int64_t extent : parameters.shape) {
    if (extent <= 0) bad_parameters(json, "have an extent that is not positive.");
  }
  const size_t dimensions = parameters.shape.size();
  if (!object.contains("permutation") || object["permutation"].is_null()) {
    parameters.permutation.resize(dimensions);
    std::iota(parameters.permutation.begin(), parameters.permutation.end(), 0);
    return parameters;
  }
  parameters.permutation = read_integers(object["permutation"], "permutation", json);
  std::vector<bool> seen(dimensions, false);
  bool valid = parameters.permutation.size() == dimensions;
  for (const int64_t d : parameters.permutation) {
    valid =
        valid && d >= 0 && d < static_cast<int64_t>(dimensions) && !seen[static_cast<size_t>(d)];
    if (valid) seen[static_cast<size_t>(d)] = true;
  }
  if (!valid) {
    bad_parameters(json, "have a \"permutation\" that is none of the " +
                             std::to_string(dimensions) + " dimensions of \"shape\".");
  }
  return parameters;
}

std::string write_tensor_parameters(const TensorParameters& parameters) {
  nlohmann::json object;
  object["shape"] = parameters.shape;
  bool identity = true;
  for (size_t i = 0; i < parameters.permutation.size(); ++i) {
    identity = identity && parameters.permutation[i] == static_cast<int64_t>(i);
  }
  if (!identity) object["permutation"] = parameters.permutation;
  return object.dump();
}

}  // namespace deisa
