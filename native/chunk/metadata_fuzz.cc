// The JSON text of deisa_define_json. Input: the text.
#include <nlohmann/json.hpp>

#include "base/testing/fuzz.hpp"
#include "chunk/metadata.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  deisa::Problems problems;
  nlohmann::json parsed;
  try {
    parsed = deisa::parse_arrays(std::string(reinterpret_cast<const char*>(data), size), problems);
  } catch (const deisa::Error&) {
    return 0;
  }
  if (!parsed.is_object()) return 0;
  for (const auto& [name, metadata] : parsed.items()) {
    const size_t before = problems.size();
    const auto array = deisa::parse_metadata(name, metadata, problems);
    deisa::fuzz::check(array.has_value() == (problems.size() == before), "an array, or a problem");
    if (!array || !array->has_dtype()) continue;
    deisa::fuzz::check(array->bytes == array->layout.bytes(), "the bytes are those of the layout");
    (void)array->layout.is_contiguous();
  }
  try {
    problems.raise(DEISA_ERROR_ARGUMENT, "invalid:");
  } catch (const deisa::Error&) {
  }
  return 0;
}
