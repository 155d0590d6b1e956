#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "chunk/arrow.hpp"
#include "chunk/arrow_metadata.hpp"

namespace deisa {
namespace {

// Each level of an export has its own private data, so that a child which was moved out of its
// parent lives on. The storage of the child's struct belongs to the parent.

struct SchemaPrivate {
  std::string format;
  std::string metadata;
  ArrowSchema child{};
  std::array<ArrowSchema*, 1> children{&child};
};

struct ArrayPrivate {
  std::shared_ptr<const void> owner;
  std::array<const void*, 2> buffers{};
  ArrowArray child{};
  std::array<ArrowArray*, 1> children{&child};
};

template <typename Struct, typename Private>
void release(Struct* self) {
  auto* data = static_cast<Private*>(self->private_data);
  if (data->child.release != nullptr) data->child.release(&data->child);
  self->release = nullptr;
  self->private_data = nullptr;
  delete data;
}

// Types from the outside in; the last one is the primitive.
struct Level {
  std::string format;
  std::string name;  // of the extension, or ""
  std::string parameters;
  int64_t length;
};

std::vector<Level> make_levels(const Layout& layout, const TensorParameters& tensor) {
  const auto elements = static_cast<int64_t>(layout.elements());
  const bool is_complex = dtype_is_complex(layout.dtype);
  std::vector<Level> levels;
  levels.push_back(
      {"+w:" + std::to_string(elements), kTensorExtension, write_tensor_parameters(tensor), 1});
  if (is_complex) levels.push_back({"+w:2", "", "", elements});
  levels.push_back({dtype_arrow_format(layout.dtype),
                    layout.dtype == DEISA_BOOL ? kBool8Extension : "", "",
                    is_complex ? 2 * elements : elements});
  return levels;
}

// The order of the dimensions in memory: slowest first. Dimensions of extent 1 keep their place
// among the slowest, which is as good as any other.
TensorParameters physical_order(const Layout& layout) {
  std::vector<size_t> order(layout.shape.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const bool a_counts = layout.shape[a] > 1;
    const bool b_counts = layout.shape[b] > 1;
    if (a_counts != b_counts) return b_counts;
    return a_counts && layout.strides[a] > layout.strides[b];
  });
  TensorParameters tensor;
  Layout physical;
  physical.dtype = layout.dtype;
  tensor.permutation.resize(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    physical.shape.push_back(layout.shape[order[i]]);
    physical.strides.push_back(layout.strides[order[i]]);
    tensor.permutation[order[i]] = static_cast<int64_t>(i);
  }
  if (!physical.is_contiguous()) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "The chunk of shape " + shape_text(layout.shape) + " has strides " +
                    shape_text(layout.strides) +
                    " bytes, which leave gaps or overlap; expected contiguous memory, in C order, "
                    "Fortran order or another order of the dimensions.");
  }
  tensor.shape = std::move(physical.shape);
  return tensor;
}

TensorParameters check(const void* data, const Layout& layout) {
  const size_t dimensions = layout.shape.size();
  if (dimensions == 0 || dimensions > DEISA_MAX_DIMENSIONS || layout.strides.size() != dimensions) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "A layout has " + std::to_string(dimensions) + " dimensions and " +
                    std::to_string(layout.strides.size()) + " strides; expected 1 to " +
                    std::to_string(DEISA_MAX_DIMENSIONS) + " dimensions and a stride for each.");
  }
  if (data == nullptr) throw Error(DEISA_ERROR_ARGUMENT, "The chunk to export is NULL.");
  if (layout.bytes() == 0) {
    throw Error(DEISA_ERROR_ARGUMENT, "The chunk to export has the shape " +
                                          shape_text(layout.shape) +
                                          "; expected positive extents.");
  }
  if (layout.elements() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    throw Error(DEISA_ERROR_UNSUPPORTED, "The chunk of shape " + shape_text(layout.shape) +
                                             " has more elements than an Arrow fixed-size list "
                                             "can hold (2147483647); export it in parts.");
  }
  if (layout.is_contiguous()) {  // no permutation, also when extents of 1 would allow one
    TensorParameters tensor;
    tensor.shape = layout.shape;
    return tensor;
  }
  return physical_order(layout);
}

void fill_schema(const std::vector<Level>& levels, size_t at, ArrowSchema* to) {
  const Level& level = levels[at];
  auto data = std::make_unique<SchemaPrivate>();
  data->format = level.format;
  if (!level.name.empty()) data->metadata = write_arrow_extension({level.name, level.parameters});
  const bool leaf = at + 1 == levels.size();
  *to = ArrowSchema{};
  to->format = data->format.c_str();
  to->name = at == 0 ? "" : "item";
  to->metadata = data->metadata.empty() ? nullptr : data->metadata.data();
  to->n_children = leaf ? 0 : 1;
  to->children = leaf ? nullptr : data->children.data();
  ArrowSchema* child = &data->child;
  to->private_data = data.release();
  to->release = release<ArrowSchema, SchemaPrivate>;  // from here on the caller can clean up
  if (!leaf) fill_schema(levels, at + 1, child);
}

void fill_array(const std::vector<Level>& levels, size_t at, const void* memory,
                const std::shared_ptr<const void>& owner, ArrowArray* to) {
  auto data = std::make_unique<ArrayPrivate>();
  const bool leaf = at + 1 == levels.size();
  data->owner = owner;
  data->buffers[1] = memory;
  *to = ArrowArray{};
  to->length = levels[at].length;
  to->n_buffers = leaf ? 2 : 1;  // validity, which there is none of, and the values
  to->buffers = data->buffers.data();
  to->n_children = leaf ? 0 : 1;
  to->children = leaf ? nullptr : data->children.data();
  ArrowArray* child = &data->child;
  to->private_data = data.release();
  to->release = release<ArrowArray, ArrayPrivate>;
  if (!leaf) fill_array(levels, at + 1, memory, owner, child);
}

}  // namespace

void export_arrow(const void* data, const Layout& layout, std::shared_ptr<const void> owner,
                  ArrowArray* array, ArrowSchema* schema) {
  if (array != nullptr) array->release = nullptr;
  if (schema != nullptr) schema->release = nullptr;
  if (array == nullptr || schema == nullptr) {
    throw Error(DEISA_ERROR_ARGUMENT, std::string("The ") +
                                          (array == nullptr ? "ArrowArray" : "ArrowSchema") +
                                          " to export to is NULL.");
  }
  const std::vector<Level> levels = make_levels(layout, check(data, layout));
  try {
    fill_schema(levels, 0, schema);
    fill_array(levels, 0, data, owner, array);
  } catch (...) {  // out of memory
    ArrowRelease both(array, schema);
    throw;
  }
}

}  // namespace deisa
