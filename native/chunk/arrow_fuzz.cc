// A chunk as an Arrow array and its schema. Buffers have no length in that interface, and the metadata's lengths are the
// only ones it has: here they hold what the array announces, as a producer must see to; all else may be wrong.
//
// Input: dtype, dimensions and extents of what is expected; then levels from the outside in: flags, length, offset, null
// count, members, format, name and metadata of the extension.
#include <array>
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "base/testing/fuzz.hpp"
#include "chunk/arrow.hpp"
#include "chunk/arrow_metadata.hpp"

namespace {

using deisa::fuzz::Input;

constexpr int64_t kItems = 4096;  // that a buffer which is read holds

struct Level {
  std::string format;
  std::string metadata;
  std::array<const void*, 2> buffers = {};
  ArrowArray array = {};
  ArrowSchema schema = {};
  ArrowArray* child_array = nullptr;
  ArrowSchema* child_schema = nullptr;

  explicit Level(Input& input, bool read) {
    static const std::vector<unsigned char> memory(16 * kItems, 0xfe);
    const uint8_t flags = input.byte();
    array.length = input.number<int32_t>();
    array.offset = input.number<int16_t>();
    if ((flags & 1) != 0) array.length *= INT64_C(1) << 31;
    if ((flags & 2) != 0) array.offset *= INT64_C(1) << 47;
    array.null_count = static_cast<int8_t>(input.byte());
    const uint8_t members = input.byte();
    const bool validity = (flags & 4) != 0;
    if (validity || read) {
      array.length %= kItems / 2;
      array.offset %= kItems / 2;
    }
    buffers = {validity ? memory.data() : nullptr, (flags & 8) != 0 ? nullptr : memory.data()};
    format = input.bytes(input.byte());
    deisa::ArrowExtension extension;
    extension.name = input.bytes(input.byte());
    extension.metadata = input.part();
    metadata = deisa::write_arrow_extension(extension);
    // A count or a length that is negative.
    if ((flags & 16) != 0) metadata[members % 2 == 0 ? 3 : 7] = '\x80';
    schema.format = (flags & 32) != 0 ? nullptr : format.c_str();
    schema.metadata = extension.name.empty() ? nullptr : metadata.data();
    schema.release = [](ArrowSchema* self) { self->release = nullptr; };
    array.n_buffers = members % 4;
    array.n_children = members / 4 % 4;
    schema.n_children = members / 16 % 4;
    array.buffers = (flags & 64) != 0 ? nullptr : buffers.data();
    if ((flags & 128) == 0) array.release = [](ArrowArray* self) { self->release = nullptr; };
  }
  void adopt(Level& child) {
    child_array = &child.array;
    child_schema = &child.schema;
    array.children = &child_array;
    schema.children = &child_schema;
  }
};

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const auto dtype = static_cast<deisa_dtype>(input.byte() % 16);
  std::vector<int64_t> shape(input.byte() % (DEISA_MAX_DIMENSIONS + 2));
  for (int64_t& extent : shape) extent = static_cast<int8_t>(input.byte());
  if (!shape.empty() && shape[0] == 127) shape[0] = input.number<int64_t>();
  std::vector<std::unique_ptr<Level>> levels;
  do {
    levels.push_back(std::make_unique<Level>(input, dtype == DEISA_BOOL));
    if (levels.size() > 1) levels[levels.size() - 2]->adopt(*levels.back());
  } while (!input.empty() && levels.size() < DEISA_MAX_DIMENSIONS + 4);
  // The last one's children are not there.
  try {
    const deisa::ArrowView view =
        deisa::import_arrow(levels[0]->array, levels[0]->schema, dtype, shape);
    deisa::fuzz::check(view.data != nullptr && view.layout.shape == shape &&
                           view.layout.strides.size() == shape.size(),
                       "the view has the expected shape");
  } catch (const deisa::Error&) {
  }
  return 0;
}
