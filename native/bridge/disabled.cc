#include "bridge/disabled.hpp"

#include <nlohmann/json.hpp>

#include "bridge/metadata.hpp"

namespace deisa {

void Disabled::define(const std::string& name, const deisa_layout& layout) {
  define(nlohmann::json{{name, metadata_from_layout(layout)}}.dump());
}

void Disabled::define(const std::string& arrays_metadata) {
  const auto arrays = nlohmann::json::parse(arrays_metadata, nullptr, false);
  if (!arrays.is_object()) return;
  for (const auto& [name, metadata] : arrays.items()) {
    Problems ignored;
    if (const auto array = parse_metadata(name, metadata, ignored)) bytes_[name] = array->bytes;
  }
}

void* Disabled::allocate(const std::string& name) {
  const auto known = bytes_.find(name);
  if (known == bytes_.end()) return nullptr;
  std::vector<std::byte>& buffer = buffers_[name];
  buffer.resize(known->second);
  return buffer.data();
}

}  // namespace deisa
