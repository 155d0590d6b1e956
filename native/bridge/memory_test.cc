// Layouts of memory through the C ABI: what a definition says about the memory of every send, and
// what a send says about its own.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <numeric>
#include <vector>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

namespace deisa::testing {
namespace {

constexpr int64_t kShape[] = {2, 3};

class MemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    rank.options.error_mode = DEISA_ERRORS_RETURN;
    rank.options.send_timeout = 20;
    layout.dtype = DEISA_INT32;
    layout.ndim = 2;
    layout.chunk_shape = kShape;
    layout.nb_chunks_per_dim = grid;
    layout.chunk_position = position;
    std::iota(memory.begin(), memory.end(), 0);
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
  }
  void start() {
    ASSERT_EQ(deisa_define(rank.bridge, "t", &layout, &rank.error), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  }
  deisa_status send(const int32_t* data, std::vector<int64_t> strides, int64_t timestep) {
    return send_from(
        rank.bridge, "t",
        memory_at(data, DEISA_INT32, 2, kShape, strides.empty() ? nullptr : strides.data()),
        timestep, nullptr, &rank.error);
  }
  // What the node actor got last.
  std::vector<int32_t> received() {
    EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK) << rank.message();
    const std::string bytes = node.chunks().back().bytes;
    std::vector<int32_t> values(bytes.size() / sizeof(int32_t));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  int64_t bytes_copied() {
    deisa_statistics out = {};
    out.struct_size = sizeof(out);
    EXPECT_EQ(deisa_get_statistics(rank.bridge, &out, &rank.error), DEISA_OK);
    return out.bytes_copied;
  }

  const int64_t grid[2] = {1, 1};
  const int64_t position[2] = {0, 0};
  FakeNode node;
  Rank rank;
  deisa_layout layout = DEISA_LAYOUT_INIT;
  std::vector<int32_t> memory = std::vector<int32_t>(60);
};

using Values = std::vector<int32_t>;

TEST_F(MemoryTest, GhostCellsAreLeftOut) {
  const int64_t before[] = {1, 2}, after[] = {3, 1};
  layout.halo_before = before;
  layout.halo_after = after;
  start();
  ASSERT_EQ(deisa_send(rank.bridge, "t", memory.data(), 0, &rank.error), DEISA_OK);
  EXPECT_EQ(received(), (Values{8, 9, 10, 14, 15, 16})) << "of a block of shape (6, 6)";
  EXPECT_EQ(bytes_copied(), 24) << "the chunk's size";
}

TEST_F(MemoryTest, FortranOrderIsTransposed) {
  const int64_t before[] = {1, 0};
  layout.halo_before = before;
  layout.order = DEISA_ORDER_FORTRAN;
  start();
  ASSERT_EQ(deisa_send(rank.bridge, "t", memory.data(), 0, &rank.error), DEISA_OK);
  EXPECT_EQ(received(), (Values{1, 4, 7, 2, 5, 8})) << "of a block of shape (3, 3)";
  EXPECT_EQ(bytes_copied(), 24);
}

TEST_F(MemoryTest, AnOffsetIsAdded) {
  layout.offset = 5 * 4;
  start();
  ASSERT_EQ(deisa_send(rank.bridge, "t", memory.data(), 0, &rank.error), DEISA_OK);
  EXPECT_EQ(received(), (Values{5, 6, 7, 8, 9, 10}));
}

TEST_F(MemoryTest, BuffersAreLentForContiguousArraysOnly) {
  layout.order = DEISA_ORDER_FORTRAN;
  start();
  void* buffer = nullptr;
  EXPECT_EQ(deisa_loan(rank.bridge, "t", &buffer, nullptr, &rank.error), DEISA_ERROR_UNSUPPORTED);
  EXPECT_TRUE(contains(rank.message(), "array 't' was defined with a layout of its own"));
}

TEST_F(MemoryTest, ACallMayDescribeItsMemory) {
  const int64_t before[] = {1, 1};
  layout.halo_before = before;  // of deisa_send only
  start();
  EXPECT_EQ(send(memory.data(), {}, 0), DEISA_OK) << rank.message();
  EXPECT_EQ(received(), (Values{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(send(memory.data() + 20, {-40, 8}, 1), DEISA_OK);
  EXPECT_EQ(received(), (Values{20, 22, 24, 10, 12, 14}));
  EXPECT_EQ(send(memory.data() + 1, {4, 0}, 2), DEISA_OK);
  EXPECT_EQ(received(), (Values{1, 1, 1, 2, 2, 2}));
  ASSERT_EQ(rank.begin(3), DEISA_OK);
  const int64_t strides[] = {4, 8};
  EXPECT_EQ(put_from(rank.bridge, "t", memory_at(memory.data(), DEISA_INT32, 2, kShape, strides),
                     &rank.error),
            DEISA_OK);
  ASSERT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(received(), (Values{0, 2, 4, 1, 3, 5}));
  EXPECT_EQ(bytes_copied(), 4 * 24);
}

TEST_F(MemoryTest, AnAsynchronousSendHasReadTheMemory) {
  start();
  deisa_request request = 0;
  const int64_t strides[] = {4, 8};
  ASSERT_EQ(send_from(rank.bridge, "t", memory_at(memory.data(), DEISA_INT32, 2, kShape, strides),
                      0, &request, &rank.error),
            DEISA_OK);
  std::fill(memory.begin(), memory.end(), -1);
  ASSERT_EQ(deisa_wait(rank.bridge, &request, &rank.error), DEISA_OK);
  EXPECT_EQ(received(), (Values{0, 2, 4, 1, 3, 5}));
}

TEST_F(MemoryTest, WhatACallDescribesMustBeTheDefinedChunk) {
  start();
  const auto refused = [&](deisa_dtype dtype, int32_t ndim, const int64_t* shape,
                           const std::string& given) {
    const deisa_status status =
        send_from(rank.bridge, "t", memory_at(memory.data(), dtype, ndim, shape, nullptr), 0,
                  nullptr, &rank.error);
    EXPECT_EQ(status, DEISA_ERROR_CONTRACT);
    const std::string expected = "array 't': a chunk of " + given +
                                 ", was given: expected int32, shape (2, 3), as it was defined";
    const bool other_extents = given == "int32, shape (3, 2)";
    EXPECT_EQ(rank.message(),
              expected + (other_extents ? ". A shape cannot change with the timestep: define the "
                                          "largest one, and send beside it how much of it counts"
                                        : ""));
    EXPECT_EQ(rank.error.rank, 0);
    EXPECT_STREQ(rank.error.array, "t");
  };
  const int64_t transposed[] = {3, 2}, longer[] = {2, 3, 1};
  refused(DEISA_FLOAT32, 2, kShape, "float32, shape (2, 3)");
  refused(static_cast<deisa_dtype>(15), 2, kShape, "unknown, shape (2, 3)");
  refused(DEISA_INT32, 2, transposed, "int32, shape (3, 2)");
  refused(DEISA_INT32, 3, longer, "int32, shape (2, 3, 1)");
  refused(DEISA_INT32, 0, kShape, "int32, shape ()");
  refused(DEISA_INT32, -1, kShape, "int32, -1 dimensions");
  refused(DEISA_INT32, 33, kShape, "int32, 33 dimensions");
  refused(DEISA_INT32, 2, nullptr, "int32, 2 dimensions");
  ASSERT_EQ(rank.begin(0), DEISA_OK);
  EXPECT_EQ(put_from(rank.bridge, "t",
                     memory_at(memory.data(), DEISA_INT32, 2, transposed, nullptr), &rank.error),
            DEISA_ERROR_CONTRACT);
  ASSERT_EQ(rank.end(), DEISA_OK);
  deisa_request request = 1;
  EXPECT_EQ(send_from(rank.bridge, "t", memory_at(memory.data(), DEISA_INT8, 2, kShape, nullptr), 1,
                      &request, &rank.error),
            DEISA_ERROR_CONTRACT);
  EXPECT_EQ(request, 0u);
  EXPECT_EQ(send(nullptr, {}, 1), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(rank.message(), "data is NULL");
  EXPECT_EQ(send_from(rank.bridge, "u", memory_at(memory.data(), DEISA_INT32, 2, kShape, nullptr),
                      1, nullptr, &rank.error),
            DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "unknown array 'u'"));
}

TEST_F(MemoryTest, AStructWithoutASizeIsRefused) {
  layout.struct_size = 0;
  EXPECT_EQ(deisa_define(rank.bridge, "t", &layout, &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "struct_size = 0"));
}

TEST_F(MemoryTest, ALayoutThatContradictsItselfIsRefused) {
  const int64_t strides[] = {12, 4}, before[] = {1, 1};
  layout.strides = strides;
  layout.halo_before = before;
  layout.halo_after = before;
  layout.order = DEISA_ORDER_FORTRAN;
  EXPECT_EQ(deisa_define(rank.bridge, "t", &layout, &rank.error), DEISA_ERROR_ARGUMENT);
  for (const char* part : {"halo_before = [1,1]", "halo_after = [1,1]", "order = \"F\""}) {
    EXPECT_TRUE(contains(rank.message(), part + std::string(": expected none beside strides")));
  }
  layout.strides = nullptr;
  const int unknown = 7;
  std::memcpy(&layout.order, &unknown, sizeof(unknown));
  EXPECT_EQ(deisa_define(rank.bridge, "t", &layout, &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "order = 7: expected"));
}

}  // namespace
}  // namespace deisa::testing
