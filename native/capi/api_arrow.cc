// The C ABI: Arrow C Data Interface.
#include <nlohmann/json.hpp>

#include "capi/call.hpp"
#include "chunk/arrow.hpp"

using deisa::Bridge;
using deisa::Error;
using deisa::guarded;
using deisa::is_disabled;
using deisa::on_bridge;
using deisa::on_disabled;
using deisa::require;
using deisa::require_size;

namespace {

// What an export leaves behind when it fails.
void mark_released(ArrowArray* array, ArrowSchema* schema) {
  if (array != nullptr) array->release = nullptr;
  if (schema != nullptr) schema->release = nullptr;
}

}  // namespace

extern "C" {

deisa_status deisa_export_memory(const void* data, const deisa_layout* layout,
                                 struct ArrowArray* array, struct ArrowSchema* schema,
                                 deisa_error* error) {
  mark_released(array, schema);
  return guarded(error, [&] {
    require(data, "data");
    require(layout, "layout");
    require(array, "array");
    require(schema, "schema");
    require_size(*layout, "layout", "DEISA_LAYOUT_INIT", deisa::kLeastLayout);
    // Only shape, dtype and strides matter here: the grid is one chunk.
    deisa::Problems problems;
    nlohmann::json described = deisa::metadata_from_layout(*layout);
    const size_t ndim = layout->ndim > 0 ? static_cast<size_t>(layout->ndim) : 0;
    described["nb_chunks_per_dim"] = std::vector<int64_t>(ndim, 1);
    described["chunk_position"] = std::vector<int64_t>(ndim, 0);
    described.erase("global_shape");
    described.erase("start");
    described.erase("nb_chunks_of_node");
    const auto metadata = deisa::parse_metadata("exported", described, problems);
    problems.raise(DEISA_ERROR_ARGUMENT, "invalid layout:");
    if (!metadata->layout.is_contiguous()) {
      throw Error(DEISA_ERROR_UNSUPPORTED,
                  "layout: strides: expected contiguous memory, last dimension fastest");
    }
    deisa::export_arrow(data, metadata->layout, nullptr, array, schema);
    return DEISA_OK;
  });
}

deisa_status deisa_export(deisa_bridge* bridge, const char* name, struct ArrowArray* array,
                          struct ArrowSchema* schema, deisa_error* error) {
  mark_released(array, schema);
  if (is_disabled(bridge)) {
    return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
      if (array == nullptr || schema == nullptr) return;
      if (name != nullptr) {
        disabled.export_loan(name, array, schema);
      } else {
        deisa::export_arrow_struct({}, nullptr, array, schema);
      }
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    if (name != nullptr) {
      open.export_loan(name, array, schema);
    } else {
      open.export_step(array, schema);
    }
    return DEISA_OK;
  });
}

}  // extern "C"
