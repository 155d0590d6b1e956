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
// parent lives on. The storage of the children's structs belongs to the parent.

template <typename Struct>
struct Children {
  std::vector<Struct> storage;  // never grows once there are pointers to it
  std::vector<Struct*> pointers;

  explicit Children(size_t count) : storage(count), pointers(count) {
    for (size_t i = 0; i < count; ++i) pointers[i] = &storage[i];
  }
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;
  ~Children() {
    for (Struct& child : storage) {
      if (child.release != nullptr) child.release(&child);
    }
  }
};

struct SchemaPrivate {
  std::string format;
  std::string name;
  std::string metadata;
  Children<ArrowSchema> children;
};

struct ArrayPrivate {
  std::shared_ptr<const void> owner;
  std::array<const void*, 2> buffers;
  Children<ArrowArray> children;
};

template <typename Struct, typename Private>
void release(Struct* self) {
  auto* data = static_cast<Private*>(self->private_data);
  self->release = nullptr;
  self->private_data = nullptr;
  delete data;
}

// The caller's struct, which is marked released until it is filled in.
void fill(ArrowSchema* to, std::string format, std::string name, std::string metadata,
          size_t children) {
  auto* data = new SchemaPrivate{std::move(format), std::move(name), std::move(metadata),
                                 Children<ArrowSchema>(children)};
  *to = ArrowSchema{};
  to->format = data->format.c_str();
  to->name = data->name.c_str();
  to->metadata = data->metadata.empty() ? nullptr : data->metadata.data();
  to->n_children = static_cast<int64_t>(children);
  to->children = children == 0 ? nullptr : data->children.pointers.data();
  to->private_data = data;
  to->release = release<ArrowSchema, SchemaPrivate>;  // from here on the caller can clean up
}

// `values` is NULL for an array that has children. Never has a validity buffer.
void fill(ArrowArray* to, int64_t length, const void* values, size_t children,
          const std::shared_ptr<const void>& owner) {
  auto* data = new ArrayPrivate{owner, {nullptr, values}, Children<ArrowArray>(children)};
  *to = ArrowArray{};
  to->length = length;
  to->n_buffers = values == nullptr ? 1 : 2;
  to->buffers = data->buffers.data();
  to->n_children = static_cast<int64_t>(children);
  to->children = children == 0 ? nullptr : data->children.pointers.data();
  to->private_data = data;
  to->release = release<ArrowArray, ArrayPrivate>;
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

void fill_schema(const std::vector<Level>& levels, size_t at, const std::string& name,
                 ArrowSchema* to) {
  const Level& level = levels[at];
  const bool leaf = at + 1 == levels.size();
  fill(to, level.format, name,
       level.name.empty() ? "" : write_arrow_extension({level.name, level.parameters}),
       leaf ? 0 : 1);
  if (!leaf) fill_schema(levels, at + 1, "item", to->children[0]);
}

void fill_array(const std::vector<Level>& levels, size_t at, const void* memory,
                const std::shared_ptr<const void>& owner, ArrowArray* to) {
  const bool leaf = at + 1 == levels.size();
  fill(to, levels[at].length, leaf ? memory : nullptr, leaf ? 0 : 1, owner);
  if (!leaf) fill_array(levels, at + 1, memory, owner, to->children[0]);
}

void fill_tensor(const ArrowColumn& column, const std::shared_ptr<const void>& owner,
                 ArrowArray* array, ArrowSchema* schema) {
  const std::vector<Level> levels = make_levels(column.layout, check(column.data, column.layout));
  fill_schema(levels, 0, column.name, schema);
  fill_array(levels, 0, column.data, owner, array);
}

// Runs `work`, which fills in both structs; when it throws, they are released.
template <typename Work>
void export_to(ArrowArray* array, ArrowSchema* schema, const Work& work) {
  if (array != nullptr) array->release = nullptr;
  if (schema != nullptr) schema->release = nullptr;
  if (array == nullptr || schema == nullptr) {
    throw Error(DEISA_ERROR_ARGUMENT, std::string("The ") +
                                          (array == nullptr ? "ArrowArray" : "ArrowSchema") +
                                          " to export to is NULL.");
  }
  try {
    work();
  } catch (...) {
    ArrowRelease both(array, schema);
    throw;
  }
}

}  // namespace

void export_arrow(const void* data, const Layout& layout, std::shared_ptr<const void> owner,
                  ArrowArray* array, ArrowSchema* schema) {
  export_to(array, schema, [&] { fill_tensor({"", data, layout}, owner, array, schema); });
}

void export_arrow_struct(const std::vector<ArrowColumn>& columns, std::shared_ptr<const void> owner,
                         ArrowArray* array, ArrowSchema* schema) {
  export_to(array, schema, [&] {
    fill(schema, "+s", "", "", columns.size());
    fill(array, 1, nullptr, columns.size(), owner);
    for (size_t i = 0; i < columns.size(); ++i) {
      fill_tensor(columns[i], owner, array->children[i], schema->children[i]);
    }
  });
}

}  // namespace deisa
