#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "chunk/arrow.hpp"
#include "chunk/arrow_metadata.hpp"

namespace deisa {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(DEISA_ERROR_CONTRACT, message); }

// One nesting level, from the outside in, and the items of it that belong to the chunk.
struct Level {
  const ArrowArray* array;
  std::string format;
  ArrowExtension extension;
  int64_t first;  // item, counted from the start of the buffers
  int64_t items;
  int64_t list_size;  // of a fixed-size list; 0 for a leaf
};

// A format of the C Data Interface in words: "float32" for "f".
std::string words(const std::string& format) {
  static const std::map<std::string, std::string> known = {
      {"c", "int8"},       {"C", "uint8"},    {"s", "int16"},   {"S", "uint16"},
      {"i", "int32"},      {"I", "uint32"},   {"l", "int64"},   {"L", "uint64"},
      {"e", "float16"},    {"f", "float32"},  {"g", "float64"}, {"b", "bool (one bit each)"},
      {"n", "null"},       {"u", "string"},   {"U", "string"},  {"z", "binary"},
      {"Z", "binary"},     {"+l", "list"},    {"+L", "list"},   {"+s", "struct"},
      {"tdD", "date32"},   {"tdm", "date64"}, {"+m", "map"},    {"vu", "string view"},
      {"+vl", "list view"}};
  const auto found = known.find(format);
  if (found != known.end()) return found->second;
  if (format.compare(0, 3, "+w:") == 0) return "fixed-size list(" + format.substr(3, 37) + ")";
  return "the Arrow format '" + format.substr(0, 40) + "'";
}

std::string describe(const std::vector<Level>& levels) {
  std::string text;
  for (const Level& level : levels) {
    if (!text.empty()) text += " of ";
    text += words(level.format);
    if (!level.extension.name.empty()) text += " (" + level.extension.name.substr(0, 80) + ")";
  }
  return text;
}

std::string describe(deisa_dtype dtype) {
  const std::string element = words(dtype_arrow_format(dtype));
  const std::string name = dtype_name(dtype);
  if (dtype_is_complex(dtype)) return name + ", in Arrow fixed-size list(2) of " + element;
  return dtype == DEISA_BOOL ? name + ", in Arrow " + element + " (" + kBool8Extension + ")" : name;
}

// "The Arrow array", or "Child level 2 of the Arrow array".
std::string place(size_t depth) {
  return depth == 0 ? "The Arrow array"
                    : "Child level " + std::to_string(depth) + " of the Arrow array";
}

std::string number(int64_t value) { return std::to_string(value); }

// 0 when `format` is no fixed-size list.
int64_t read_list_size(const std::string& format, size_t depth) {
  if (format.compare(0, 3, "+w:") != 0) return 0;
  int64_t size = 0;
  const char* end = format.data() + format.size();
  const auto result = std::from_chars(format.data() + 3, end, size);
  if (result.ec != std::errc() || result.ptr != end || size <= 0) {
    refuse(place(depth) + " has the format '" + format.substr(0, 40) +
           "'; expected '+w:' and a positive size.");
  }
  return size;
}

void check_structs(const ArrowArray& array, const ArrowSchema& schema, size_t depth) {
  const std::string here = place(depth);
  if (schema.release == nullptr) refuse(here + " has a schema that was released before.");
  if (array.release == nullptr) refuse(here + " was released before.");
  if (schema.format == nullptr) refuse(here + " has a schema without a format (NULL).");
  if (schema.dictionary != nullptr || array.dictionary != nullptr) {
    refuse(here + " is dictionary-encoded; expected plain values: decode the dictionary first.");
  }
  int64_t end = 0;
  if (array.length < 0 || array.offset < 0 ||
      __builtin_add_overflow(array.length, array.offset, &end)) {
    refuse(here + " has length " + number(array.length) + " and offset " + number(array.offset) +
           "; expected neither to be negative, and a sum below 2^63.");
  }
  if (array.null_count < -1) {
    refuse(here + " has a null count of " + number(array.null_count) + "; expected -1 or more.");
  }
}

// What the format asks for: a list has one child and a validity buffer; a leaf has no child, and a
// validity buffer and one of values.
void check_members(const ArrowArray& array, const ArrowSchema& schema, const Level& level,
                   size_t depth) {
  const std::string here = place(depth) + ", " + words(level.format) + ",";
  const int64_t children = level.list_size > 0 ? 1 : 0;
  if (array.n_children != children || schema.n_children != children) {
    refuse(here + " has " + number(array.n_children) + " children, and its schema " +
           number(schema.n_children) + "; expected " + number(children) + ".");
  }
  if (children > 0 && (array.children == nullptr || schema.children == nullptr ||
                       array.children[0] == nullptr || schema.children[0] == nullptr)) {
    refuse(here + " has a child that is NULL.");
  }
  const int64_t buffers = level.list_size > 0 ? 1 : 2;
  if (array.n_buffers != buffers || array.buffers == nullptr) {
    refuse(here + " has " + number(array.n_buffers) + " buffers" +
           (array.buffers == nullptr ? " at NULL" : "") + "; expected " + number(buffers) + ".");
  }
  if (buffers == 2 && array.buffers[1] == nullptr && level.items > 0) {
    refuse(here + " has no values: its buffer is NULL.");
  }
}

bool is_primitive(const std::string& format) {
  return format.size() == 1 && std::strchr("cCsSiIlLefg", format[0]) != nullptr;
}

// Follows fixed-size lists down to the primitive array.
std::vector<Level> read_levels(const ArrowArray& array, const ArrowSchema& schema,
                               deisa_dtype expected) {
  // The lists of a chunk of most dimensions, the pair of a complex number, and the leaf.
  constexpr size_t most_levels = DEISA_MAX_DIMENSIONS + 2;
  std::vector<Level> levels;
  const ArrowArray* a = &array;
  const ArrowSchema* s = &schema;
  int64_t first = 0;
  int64_t items = 0;
  for (size_t depth = 0;; ++depth) {
    if (depth == most_levels) {
      refuse("The Arrow array has more than " + std::to_string(DEISA_MAX_DIMENSIONS) +
             " nested lists; expected " + describe(expected) + ".");
    }
    check_structs(*a, *s, depth);
    if (depth == 0) {
      items = a->length;
    } else if (first + items > a->length) {
      refuse(place(depth) + " has " + number(a->length) + " items; its parent needs " +
             number(first + items) + ".");
    }
    if (__builtin_add_overflow(first, a->offset, &first)) {
      refuse(place(depth) + " has the offset " + number(a->offset) + ", which is too large.");
    }
    levels.push_back({a, s->format, read_arrow_extension(s->metadata), first, items, 0});
    Level& level = levels.back();
    level.list_size = read_list_size(level.format, depth);
    if (level.list_size == 0 && !is_primitive(level.format)) {
      refuse("The Arrow array is " + describe(levels) +
             (level.format == "b" ? ", bit-packed booleans; expected " : "; expected ") +
             describe(expected) +
             (level.format == "b" ? ": use arrow.bool8, one byte for each value." : "."));
    }
    check_members(*a, *s, level, depth);
    if (level.list_size == 0) return levels;
    int64_t end = 0;
    if (__builtin_add_overflow(first, items, &end) ||
        __builtin_mul_overflow(end, level.list_size, &end)) {
      refuse(place(depth) + " has " + number(items) + " lists of " + number(level.list_size) +
             " items, which are more than memory can hold.");
    }
    first *= level.list_size;
    items *= level.list_size;
    a = a->children[0];
    s = s->children[0];
  }
}

void check_dtype(const std::vector<Level>& levels, deisa_dtype expected) {
  const Level& leaf = levels.back();
  const bool bool8 = leaf.extension.name == kBool8Extension;
  bool matches = leaf.format == dtype_arrow_format(expected) && bool8 == (expected == DEISA_BOOL);
  if (dtype_is_complex(expected)) {
    matches = matches && levels.size() >= 2 && levels[levels.size() - 2].list_size == 2;
  }
  if (!matches) {
    refuse("The Arrow array is " + describe(levels) + "; expected elements of " +
           describe(expected) + ".");
  }
}

// The strides of the chunk, when the tensor's logical shape is the expected one.
std::vector<int64_t> read_tensor(const std::vector<Level>& levels, size_t lists,
                                 const Layout& expected) {
  const Level& level = levels.front();
  const TensorParameters tensor = read_tensor_parameters(level.extension.metadata);
  if (lists != 1 || level.items != 1) {
    refuse("The Arrow array is " + describe(levels) + " with " + number(level.items) +
           " tensors; expected one tensor, whose list holds the elements themselves.");
  }
  const Layout physical = Layout::contiguous(expected.dtype, tensor.shape);
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  for (const int64_t d : tensor.permutation) {
    shape.push_back(physical.shape[static_cast<size_t>(d)]);
    strides.push_back(physical.strides[static_cast<size_t>(d)]);
  }
  if (shape != expected.shape) {
    refuse("The Arrow tensor has the shape " + shape_text(shape) + "; expected " +
           shape_text(expected.shape) + ".");
  }
  if (static_cast<size_t>(level.list_size) != physical.elements()) {
    refuse("The Arrow tensor of shape " + shape_text(tensor.shape) + " is stored as " +
           describe(levels) + "; expected a list of " + std::to_string(physical.elements()) + ".");
  }
  return strides;
}

std::vector<int64_t> read_strides(const std::vector<Level>& levels, const Layout& expected) {
  // Lists that are dimensions: not the pair of a complex number.
  const size_t lists = levels.size() - 1 - (dtype_is_complex(expected.dtype) ? 1 : 0);
  for (size_t depth = 0; depth < levels.size(); ++depth) {
    if (levels[depth].extension.name == kTensorExtension && (depth > 0 || lists == 0)) {
      refuse("The Arrow array is " + describe(levels) + "; expected " + kTensorExtension +
             " outermost only, on a fixed-size list.");
    }
  }
  if (levels.front().extension.name == kTensorExtension) {
    return read_tensor(levels, lists, expected);
  }
  const int64_t length = levels.front().items;
  std::vector<int64_t> sizes;
  for (size_t depth = 0; depth < lists; ++depth) sizes.push_back(levels[depth].list_size);
  std::vector<int64_t> all{length};
  all.insert(all.end(), sizes.begin(), sizes.end());
  const std::vector<int64_t> flat{static_cast<int64_t>(expected.elements())};
  const bool matches = all == expected.shape || all == flat ||
                       (length == 1 && (sizes == expected.shape || sizes == flat));
  if (!matches) {
    refuse("The Arrow array is " + describe(levels) + " of shape " + shape_text(all) +
           "; expected " + shape_text(expected.shape) + ", or " + number(flat[0]) +
           " elements in a flat array.");
  }
  return expected.strides;
}

int64_t count_nulls(const Level& level) {
  const auto* bits = static_cast<const unsigned char*>(level.array->buffers[0]);
  int64_t nulls = 0;
  for (int64_t i = level.first; i < level.first + level.items; ++i) {
    if (i % 8 == 0 && bits[i / 8] == 0xFF) {  // eight at once
      i += 7;
    } else if ((bits[i / 8] >> (i % 8) & 1) == 0) {
      ++nulls;
    }
  }
  return nulls;
}

// Nulls outside of the chunk, in a child that has more items, do not matter.
void check_nulls(const std::vector<Level>& levels) {
  for (size_t depth = 0; depth < levels.size(); ++depth) {
    const Level& level = levels[depth];
    const ArrowArray& array = *level.array;
    if (array.null_count == 0) continue;
    const bool whole = level.first == array.offset && level.items == array.length;
    int64_t nulls = 0;
    if (array.null_count > 0 && (whole || array.buffers[0] == nullptr)) {
      nulls = array.null_count;
    } else if (array.buffers[0] != nullptr) {  // without a validity buffer nothing is null
      nulls = count_nulls(level);
    }
    if (nulls > 0) {
      refuse(place(depth) + ", " + describe(levels) + ", has " + number(nulls) +
             " nulls; expected none: fill them in, with NaN for example.");
    }
  }
}

}  // namespace

ArrowView import_arrow(const ArrowArray& array, const ArrowSchema& schema, deisa_dtype expected,
                       const std::vector<int64_t>& expected_shape) {
  ArrowView view;
  view.layout = Layout::contiguous(expected, expected_shape);
  if (expected_shape.empty() || expected_shape.size() > DEISA_MAX_DIMENSIONS ||
      view.layout.elements() == 0) {
    throw Error(DEISA_ERROR_ARGUMENT, "The shape " + shape_text(expected_shape) +
                                          " is no shape of a chunk; expected 1 to " +
                                          std::to_string(DEISA_MAX_DIMENSIONS) +
                                          " positive extents.");
  }
  const std::vector<Level> levels = read_levels(array, schema, expected);
  check_dtype(levels, expected);
  view.layout.strides = read_strides(levels, view.layout);
  check_nulls(levels);

  const Level& leaf = levels.back();
  const size_t size = dtype_size(expected) / (dtype_is_complex(expected) ? 2 : 1);
  size_t start = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(leaf.first), size, &start)) {
    refuse("The Arrow array starts at element " + number(leaf.first) + ", which is too far.");
  }
  const auto* data = static_cast<const unsigned char*>(leaf.array->buffers[1]) + start;
  view.data = data;
  if (expected == DEISA_BOOL) {
    const auto* end = data + view.layout.elements();
    if (std::any_of(data, end, [](unsigned char value) { return value > 1; })) {
      auto copy = std::make_shared<std::vector<unsigned char>>(data, end);
      for (unsigned char& value : *copy) value = value != 0;
      view.data = copy->data();
      view.booleans = std::move(copy);
    }
  }
  return view;
}

}  // namespace deisa
