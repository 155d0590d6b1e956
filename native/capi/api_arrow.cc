// The C ABI: Arrow C Data Interface.
#include <nlohmann/json.hpp>

#include "capi/call.hpp"
#include "chunk/arrow.hpp"

using deisa::Bridge;
using deisa::Error;
using deisa::guarded;
using deisa::is_disabled;
using deisa::known_part;
using deisa::on_bridge;
using deisa::on_disabled;
using deisa::reported;
using deisa::require;
using deisa::Source;

namespace {

// What an export leaves behind when it fails.
void mark_released(ArrowArray* array, ArrowSchema* schema) {
  if (array != nullptr) array->release = nullptr;
  if (schema != nullptr) schema->release = nullptr;
}

deisa::ArrowView view_arrow(Bridge& bridge, const char* name, ArrowArray* array,
                            ArrowSchema* schema) {
  require(name, "name");
  require(array, "array");
  require(schema, "schema");
  const deisa::Layout& layout = bridge.layout_of(name);
  try {
    return deisa::import_arrow(*array, *schema, layout.dtype, layout.shape);
  } catch (Error& error) {
    throw Error(error.status(), "array '" + std::string(name) + "': " + error.what())
        .at_array(name)
        .at_rank(bridge.options().bridge_id);
  }
}

}  // namespace

extern "C" {

deisa_status deisa_send_arrow(deisa_bridge* bridge, const char* name, struct ArrowArray* array,
                              struct ArrowSchema* schema, int64_t timestep, deisa_error* error) {
  const deisa::ArrowRelease release(array, schema);
  return reported(bridge, error, [&](Bridge& open) {
    const deisa::ArrowView view = view_arrow(open, name, array, schema);
    open.send(name, Source::memory(view.data, view.layout), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_send_arrow_async(deisa_bridge* bridge, const char* name,
                                    struct ArrowArray* array, struct ArrowSchema* schema,
                                    int64_t timestep, deisa_request* request, deisa_error* error) {
  const deisa::ArrowRelease release(array, schema);
  if (request != nullptr) *request = 0;
  return reported(bridge, error, [&](Bridge& open) {
    require(request, "request");
    const deisa::ArrowView view = view_arrow(open, name, array, schema);
    *request = open.send_async(name, Source::memory(view.data, view.layout), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_put_arrow(deisa_bridge* bridge, const char* name, struct ArrowArray* array,
                             struct ArrowSchema* schema, deisa_error* error) {
  const deisa::ArrowRelease release(array, schema);
  return reported(bridge, error, [&](Bridge& open) {
    const deisa::ArrowView view = view_arrow(open, name, array, schema);
    open.put(name, Source::memory(view.data, view.layout));
    return DEISA_OK;
  });
}

deisa_status deisa_export_arrow(const void* data, const deisa_layout* layout,
                                struct ArrowArray* array, struct ArrowSchema* schema,
                                deisa_error* error) {
  return guarded(error, [&] {
    require(data, "data");
    require(layout, "layout");
    require(array, "array");
    require(schema, "schema");
    // Only shape, dtype and strides matter here: the grid is one chunk.
    deisa::Problems problems;
    nlohmann::json described = deisa::metadata_from_layout(known_part(*layout));
    const size_t ndim = layout->ndim > 0 ? static_cast<size_t>(layout->ndim) : 0;
    described["nb_chunks_per_dim"] = std::vector<int64_t>(ndim, 1);
    described["chunk_position"] = std::vector<int64_t>(ndim, 0);
    described.erase("global_shape");
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

deisa_status deisa_export_allocated(deisa_bridge* bridge, const char* name,
                                    struct ArrowArray* array, struct ArrowSchema* schema,
                                    deisa_error* error) {
  mark_released(array, schema);
  if (is_disabled(bridge)) {
    return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
      if (name != nullptr && array != nullptr && schema != nullptr) {
        disabled.export_allocated(name, array, schema);
      }
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(name, "name");
    open.export_allocated(name, array, schema);
    return DEISA_OK;
  });
}

deisa_status deisa_export_step(deisa_bridge* bridge, struct ArrowArray* array,
                               struct ArrowSchema* schema, deisa_error* error) {
  mark_released(array, schema);
  if (is_disabled(bridge)) {
    return on_disabled(bridge, error, [&](deisa::Disabled&) {
      deisa::export_arrow_struct({}, nullptr, array, schema);
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    open.export_step(array, schema);
    return DEISA_OK;
  });
}

}  // extern "C"
