#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "chunk/arrow.hpp"
#include "chunk/arrow_metadata.hpp"

namespace deisa {
namespace {

using Bytes = std::vector<unsigned char>;

constexpr deisa_dtype kAll[] = {DEISA_BOOL,      DEISA_INT8,      DEISA_INT16,   DEISA_INT32,
                                DEISA_INT64,     DEISA_UINT8,     DEISA_UINT16,  DEISA_UINT32,
                                DEISA_UINT64,    DEISA_FLOAT16,   DEISA_FLOAT32, DEISA_FLOAT64,
                                DEISA_COMPLEX64, DEISA_COMPLEX128};

struct Exported {
  ArrowArray array{};
  ArrowSchema schema{};
};

TEST(ArrowExport, RoundTripsEveryDtypeInEveryOrder) {
  for (const deisa_dtype dtype : kAll) {
    std::vector<int> order{0, 1, 2};
    do {
      const std::vector<int64_t> shape{2, 3, 4};
      Layout layout{dtype, shape, {0, 0, 0}};
      int64_t stride = static_cast<int64_t>(dtype_size(dtype));
      for (const int d : order) {
        layout.strides[static_cast<size_t>(d)] = stride;
        stride *= shape[static_cast<size_t>(d)];
      }
      Bytes memory(layout.bytes());
      for (size_t i = 0; i < memory.size(); ++i) {
        memory[i] = static_cast<unsigned char>(dtype == DEISA_BOOL ? i % 2 : i);
      }
      Exported to;
      export_arrow(memory.data(), layout, nullptr, &to.array, &to.schema);
      const ArrowRelease release(&to.array, &to.schema);
      EXPECT_EQ(to.array.length, 1);
      EXPECT_STREQ(to.schema.format, "+w:24");
      const ArrowView view = import_arrow(to.array, to.schema, dtype, shape);
      EXPECT_EQ(view.data, memory.data());
      EXPECT_EQ(view.layout.strides, layout.strides);
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST(ArrowExport, WritesWhatTheSpecificationSays) {
  const double memory[6] = {};
  Exported to;
  export_arrow(memory, Layout::contiguous(DEISA_FLOAT64, {2, 3}), nullptr, &to.array, &to.schema);
  const std::string metadata = write_arrow_extension({kTensorExtension, R"({"shape":[2,3]})"});
  EXPECT_EQ(std::string(to.schema.metadata, metadata.size()), metadata);
  EXPECT_EQ(to.array.null_count, 0);
  EXPECT_EQ(to.array.offset, 0);
  EXPECT_EQ(to.array.n_buffers, 1);
  EXPECT_EQ(to.array.buffers[0], nullptr);
  ASSERT_EQ(to.array.n_children, 1);
  EXPECT_EQ(to.array.children[0]->length, 6);
  EXPECT_EQ(to.array.children[0]->buffers[1], memory);
  EXPECT_STREQ(to.schema.children[0]->format, "g");
  EXPECT_EQ(to.schema.children[0]->metadata, nullptr);
  const ArrowRelease release(&to.array, &to.schema);

  const unsigned char expected[] =
      "\2\0\0\0\24\0\0\0ARROW:extension:name\13\0\0\0arrow.bool8"
      "\30\0\0\0ARROW:extension:metadata\0\0\0";
  EXPECT_EQ(write_arrow_extension({kBool8Extension, ""}),
            std::string(reinterpret_cast<const char*>(expected), sizeof(expected)));
}

TEST(ArrowExport, KeepsTheOwnerUntilTheArrayIsReleased) {
  for (const bool schema_first : {false, true}) {
    auto owner = std::make_shared<Bytes>(64);
    const std::weak_ptr<Bytes> alive = owner;
    Exported to;
    const Layout layout = Layout::contiguous(DEISA_COMPLEX64, {2, 4});
    const void* data = owner->data();
    export_arrow(data, layout, std::move(owner), &to.array, &to.schema);
    if (schema_first) {
      to.schema.release(&to.schema);
      EXPECT_EQ(to.schema.release, nullptr);
    }
    EXPECT_FALSE(alive.expired());
    to.array.release(&to.array);
    EXPECT_EQ(to.array.release, nullptr);
    EXPECT_TRUE(alive.expired());
    if (!schema_first) to.schema.release(&to.schema);
  }
}

TEST(ArrowExport, MayBeMovedWholeOrByChildren) {
  auto owner = std::make_shared<Bytes>(64);
  const std::weak_ptr<Bytes> alive = owner;
  Exported to;
  export_arrow(owner->data(), Layout::contiguous(DEISA_COMPLEX64, {2, 4}), owner, &to.array,
               &to.schema);
  const void* data = owner->data();
  owner.reset();

  ArrowArray moved = to.array;  // the whole array, then the pairs, then the parts out of these
  to.array.release = nullptr;
  ArrowArray pairs = *moved.children[0];
  moved.children[0]->release = nullptr;
  moved.release(&moved);
  EXPECT_FALSE(alive.expired());
  ArrowArray parts = *pairs.children[0];
  pairs.children[0]->release = nullptr;
  pairs.release(&pairs);
  EXPECT_FALSE(alive.expired());
  EXPECT_EQ(parts.buffers[1], data);
  EXPECT_EQ(parts.length, 16);
  parts.release(&parts);
  EXPECT_TRUE(alive.expired());

  ArrowSchema child = *to.schema.children[0];
  to.schema.children[0]->release = nullptr;
  to.schema.release(&to.schema);
  EXPECT_STREQ(child.format, "+w:2");
  EXPECT_STREQ(child.children[0]->format, "f");
  child.release(&child);
}

TEST(ArrowExport, IgnoresStridesOfExtentOne) {
  const Bytes memory(24);
  Exported to;
  export_arrow(memory.data(), {DEISA_INT8, {1, 6, 1, 4}, {-7, 1, 0, 6}}, nullptr, &to.array,
               &to.schema);
  const ArrowRelease release(&to.array, &to.schema);
  const ArrowView view = import_arrow(to.array, to.schema, DEISA_INT8, {1, 6, 1, 4});
  EXPECT_EQ(view.layout.strides[1], 1);
  EXPECT_EQ(view.layout.strides[3], 6);
}

TEST(ArrowExport, RefusesWhatItCannotShow) {
  const double memory[8] = {};
  const auto status = [&](const void* data, const Layout& layout, bool with_array,
                          bool with_schema) {
    Exported to;
    const auto garbage = [](auto*) { FAIL() << "a struct that was not exported was released"; };
    to.array.release = garbage;
    to.schema.release = garbage;
    try {
      export_arrow(data, layout, nullptr, with_array ? &to.array : nullptr,
                   with_schema ? &to.schema : nullptr);
    } catch (const Error& error) {
      EXPECT_EQ(to.array.release == nullptr, with_array);
      EXPECT_EQ(to.schema.release == nullptr, with_schema);
      return error.status();
    }
    ADD_FAILURE() << "accepted";
    return DEISA_OK;
  };
  const Layout good = Layout::contiguous(DEISA_FLOAT64, {8});
  EXPECT_EQ(status(nullptr, good, true, true), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(status(memory, good, false, true), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(status(memory, good, true, false), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(status(memory, {DEISA_FLOAT64, {4}, {16}}, true, true), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(status(memory, {DEISA_FLOAT64, {4}, {-8}}, true, true), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(status(memory, {DEISA_FLOAT64, {2, 2}, {8, 8}}, true, true), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(status(memory, {DEISA_FLOAT64, {2, 2}, {8}}, true, true), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(status(memory, {DEISA_FLOAT64, {}, {}}, true, true), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(status(memory, {DEISA_FLOAT64, {0}, {8}}, true, true), DEISA_ERROR_ARGUMENT);
  const Layout large = Layout::contiguous(DEISA_INT8, {int64_t{1} << 31});
  EXPECT_EQ(status(memory, large, true, true), DEISA_ERROR_UNSUPPORTED);
}

}  // namespace
}  // namespace deisa
