// Settings in YAML. Input: the text.
#include <nlohmann/json.hpp>

#include "base/testing/fuzz.hpp"
#include "settings/yaml/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  char message[512] = "";
  char* text =
      deisa_yaml_to_json(reinterpret_cast<const char*>(data), size, message, sizeof(message));
  if (text == nullptr) {
    deisa::fuzz::check(std::memchr(message, 0, sizeof(message)) != nullptr, "a message ends");
    return 0;
  }
  deisa::fuzz::check(nlohmann::json::accept(std::string(text)), "the result is JSON");
  std::free(text);
  return 0;
}
