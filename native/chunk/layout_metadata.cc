// Metadata that does not come as JSON: a deisa_layout, and the array that bridge 0 adds.
#include <nlohmann/json.hpp>

#include "chunk/metadata.hpp"

namespace deisa {

using nlohmann::json;

json metadata_from_layout(const deisa_layout& layout) {
  json metadata = json::object();
  const char* dtype = dtype_name(layout.dtype);
  if (dtype_size(layout.dtype) > 0) {
    metadata["dtype"] = dtype;
  } else {
    metadata["dtype"] = static_cast<int64_t>(layout.dtype);
  }
  if (layout.nb_chunks_of_node != -1) metadata["nb_chunks_of_node"] = layout.nb_chunks_of_node;
  if (layout.ndim < 1 || layout.ndim > DEISA_MAX_DIMENSIONS) {
    // Nothing can be read safely: say the number of dimensions in the place of the shape.
    metadata["chunk_shape"] = {{kDimensions, layout.ndim}};
    return metadata;
  }
  const auto list = [&](const char* key, const int64_t* values) {
    if (values != nullptr) metadata[key] = std::vector<int64_t>(values, values + layout.ndim);
  };
  list("chunk_shape", layout.chunk_shape);
  list("nb_chunks_per_dim", layout.nb_chunks_per_dim);
  list("global_shape", layout.global_shape);
  list("chunk_position", layout.chunk_position);
  list("strides", layout.strides);
  list("halo_before", layout.halo_before);
  list("halo_after", layout.halo_after);
  if (layout.struct_size > kLeastLayout) list("start", layout.start);
  if (layout.struct_size > offsetof(deisa_layout, aggregate) && layout.aggregate != nullptr) {
    metadata["aggregate"] = layout.aggregate;
  }
  if (layout.offset != 0) metadata["offset"] = layout.offset;
  if (layout.order == DEISA_ORDER_FORTRAN) {
    metadata["order"] = "F";
  } else if (layout.order != DEISA_ORDER_C) {
    metadata["order"] = static_cast<int64_t>(layout.order);
  }
  return metadata;
}

ArrayMetadata end_marker_metadata() {
  ArrayMetadata marker;
  marker.name = kEndMarkerArray;
  marker.layout = Layout::contiguous(DEISA_INT16, {1, 1});
  marker.grid = {1, 1};
  marker.position = {0, 0};
  marker.chunks_of_node = 1;
  marker.bytes = marker.layout.bytes();
  return marker;
}

}  // namespace deisa
