#include "capi/disabled.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "chunk/arrow.hpp"
#include "chunk/metadata.hpp"

namespace deisa {

void Disabled::define(const std::string& name, const deisa_layout& layout) {
  define(nlohmann::json{{name, metadata_from_layout(layout)}}.dump());
}

void Disabled::define(const std::string& arrays_metadata) {
  Problems ignored;
  nlohmann::json arrays;
  try {
    arrays = parse_arrays(arrays_metadata, ignored);
  } catch (const Error&) {
    return;
  }
  if (!arrays.is_object()) return;
  for (const auto& [name, metadata] : arrays.items()) {
    if (const auto array = parse_metadata(name, metadata, ignored)) {
      arrays_[name].layout = Layout::contiguous(array->layout.dtype, array->layout.shape);
    }
  }
}

void* Disabled::loan(const std::string& name) {
  const auto known = arrays_.find(name);
  if (known == arrays_.end()) return nullptr;
  Buffers& buffers = known->second;
  if (!buffers.memory) {
    buffers.memory = std::make_shared<std::array<std::vector<std::byte>, 2>>();
    for (auto& one : *buffers.memory) one.resize(buffers.layout.bytes());
  }
  return (*buffers.memory)[buffers.loan].data();
}

void Disabled::exchange(const std::string& name, void** buffer) {
  const auto known = arrays_.find(name);
  if (known == arrays_.end() || *buffer != loan(name)) return;
  known->second.loan ^= 1;
  *buffer = loan(name);
}

void Disabled::export_loan(const std::string& name, ArrowArray* array, ArrowSchema* schema) {
  array->release = nullptr;
  schema->release = nullptr;
  const void* data = loan(name);
  if (data == nullptr) return;
  const Buffers& buffers = arrays_.at(name);
  export_arrow(data, buffers.layout, buffers.memory, array, schema);
}

}  // namespace deisa
