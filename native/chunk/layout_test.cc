#include "chunk/layout.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "base/error.hpp"
#include "chunk/stream.hpp"

namespace deisa {
namespace {

using Bytes = std::vector<unsigned char>;
using Random = std::mt19937;

constexpr deisa_dtype kAll[] = {DEISA_BOOL,      DEISA_INT8,      DEISA_INT16,   DEISA_INT32,
                                DEISA_INT64,     DEISA_UINT8,     DEISA_UINT16,  DEISA_UINT32,
                                DEISA_UINT64,    DEISA_FLOAT16,   DEISA_FLOAT32, DEISA_FLOAT64,
                                DEISA_COMPLEX64, DEISA_COMPLEX128};

int64_t draw(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

// A chunk in memory of exactly the size that it needs, so that a sanitizer sees every step beyond.
struct Chunk {
  Layout layout;
  Bytes memory;
  int64_t start = 0;  // byte of element (0, ..., 0)

  const unsigned char* data() const { return memory.data() + start; }
};

Chunk make_chunk(Layout layout, Random& random) {
  Chunk chunk;
  int64_t low = 0;
  int64_t high = static_cast<int64_t>(dtype_size(layout.dtype));
  for (size_t d = 0; d < layout.shape.size(); ++d) {
    const int64_t reach = layout.strides[d] * (layout.shape[d] - 1);
    (reach < 0 ? low : high) += reach;
  }
  chunk.memory.resize(static_cast<size_t>(high - low));
  for (unsigned char& byte : chunk.memory) byte = static_cast<unsigned char>(random());
  chunk.start = -low;
  chunk.layout = std::move(layout);
  return chunk;
}

// Element by element, from the definition of strides.
Bytes pack_naively(const Chunk& chunk) {
  const size_t size = dtype_size(chunk.layout.dtype);
  const size_t elements = chunk.layout.elements();
  Bytes packed(elements * size);
  for (size_t n = 0; n < elements; ++n) {
    int64_t offset = 0;
    auto rest = static_cast<int64_t>(n);
    for (size_t d = chunk.layout.shape.size(); d-- > 0;) {
      offset += rest % chunk.layout.shape[d] * chunk.layout.strides[d];
      rest /= chunk.layout.shape[d];
    }
    std::memcpy(packed.data() + n * size, chunk.data() + offset, size);
  }
  return packed;
}

void expect_packs(const Chunk& chunk) {
  constexpr size_t guard = 32;
  const Bytes expected = pack_naively(chunk);
  Bytes packed(expected.size() + 2 * guard, 0xA5);
  ASSERT_EQ(pack(chunk.layout, chunk.data(), packed.data() + guard), expected.size());
  const auto middle = packed.begin() + guard;
  const auto end = middle + static_cast<ptrdiff_t>(expected.size());
  EXPECT_TRUE(std::equal(middle, end, expected.begin()))
      << dtype_name(chunk.layout.dtype) << " of shape " << shape_text(chunk.layout.shape)
      << ", strides " << shape_text(chunk.layout.strides) << ", differs from byte "
      << std::mismatch(middle, end, expected.begin()).first - middle;
  const auto untouched = [](unsigned char byte) { return byte == 0xA5; };
  EXPECT_TRUE(std::all_of(packed.begin(), middle, untouched));
  EXPECT_TRUE(std::all_of(end, packed.end(), untouched));
}

// Into a part of a larger contiguous array, of which nothing else changes.
void expect_packs_into_part(const Chunk& chunk, Random& random) {
  const Bytes expected = pack_naively(chunk);
  std::vector<int64_t> whole;
  std::vector<int64_t> first;
  for (const int64_t extent : chunk.layout.shape) {
    const bool all = draw(random, 0, 1) == 0;
    first.push_back(all ? 0 : draw(random, 0, 2));
    whole.push_back(first.back() + extent + (all ? 0 : draw(random, 0, 2)));
  }
  const Layout layout = Layout::contiguous(chunk.layout.dtype, whole);
  Bytes memory(layout.bytes(), 0xA5);
  int64_t start = 0;
  for (size_t d = 0; d < whole.size(); ++d) start += first[d] * layout.strides[d];
  ASSERT_EQ(pack(chunk.layout, chunk.data(), memory.data() + start, layout.strides),
            expected.size());
  Chunk part{{chunk.layout.dtype, chunk.layout.shape, layout.strides}, memory, start};
  EXPECT_TRUE(pack_naively(part) == expected)
      << dtype_name(chunk.layout.dtype) << " of shape " << shape_text(chunk.layout.shape)
      << ", strides " << shape_text(chunk.layout.strides) << ", into " << shape_text(whole)
      << " at " << shape_text(first);
  // What is left when the part is taken out again.
  Bytes blank(expected.size(), 0xA5);
  pack(Layout::contiguous(chunk.layout.dtype, chunk.layout.shape), blank.data(),
       memory.data() + start, layout.strides);
  EXPECT_TRUE(memory == Bytes(memory.size(), 0xA5));
}

// A chunk in a larger array: dimensions in any order in memory, ghost cells, steps, reversed and
// repeated dimensions, bytes between elements.
Layout draw_layout(Random& random, size_t dimensions) {
  Layout layout;
  layout.dtype = kAll[draw(random, 0, std::size(kAll) - 1)];
  const int64_t most[] = {0, 3000, 150, 30, 12, 7, 5, 4, 3};
  for (size_t d = 0; d < dimensions; ++d) {
    layout.shape.push_back(draw(random, 0, 4) == 0 ? draw(random, 1, 3)
                                                   : draw(random, 1, most[dimensions]));
  }
  std::vector<size_t> order(dimensions);  // fastest in memory first
  std::iota(order.rbegin(), order.rend(), size_t{0});
  const int64_t kind = draw(random, 0, 2);
  if (kind == 1) std::reverse(order.begin(), order.end());
  if (kind == 2) std::shuffle(order.begin(), order.end(), random);
  const bool ghosts = draw(random, 0, 1) == 1;
  const bool unusual = draw(random, 0, 2) == 0;
  layout.strides.resize(dimensions);
  int64_t stride = static_cast<int64_t>(dtype_size(layout.dtype));
  if (draw(random, 0, 3) == 0) stride += draw(random, 1, 9);
  for (const size_t d : order) {
    const int64_t step = unusual ? draw(random, 1, 3) : 1;
    layout.strides[d] = stride * step;
    stride *= layout.shape[d] * step + (ghosts ? draw(random, 0, 2) : 0);
    if (unusual && draw(random, 0, 2) == 0) layout.strides[d] *= -1;
    if (unusual && draw(random, 0, 9) == 0) layout.strides[d] = 0;
  }
  return layout;
}

TEST(Pack, AgreesWithElementByElementOnRandomLayouts) {
  Random random(20240607);
  for (size_t dimensions = 1; dimensions <= 8; ++dimensions) {
    for (int repeat = 0; repeat < 400; ++repeat) {
      const Chunk chunk = make_chunk(draw_layout(random, dimensions), random);
      expect_packs(chunk);
      expect_packs_into_part(chunk, random);
      if (HasFailure()) FAIL() << dimensions << " dimensions, repeat " << repeat;
    }
  }
}

// Around the sides of tiles, where whole squares, their tails and long tiles meet.
TEST(Pack, TransposesFortranOrderOfEveryDtype) {
  Random random(1);
  const std::vector<std::vector<int64_t>> shapes = {
      {64, 64}, {65, 63},   {1, 300},    {300, 1},   {2, 1000},    {1000, 2},  {3, 700},
      {700, 3}, {129, 257}, {17, 5, 33}, {3, 40, 3}, {40, 3, 130}, {200, 1, 7}};
  for (const deisa_dtype dtype : kAll) {
    for (const std::vector<int64_t>& shape : shapes) {
      for (const int64_t ghosts : {0, 2}) {
        Layout layout{dtype, shape, {}};
        int64_t stride = static_cast<int64_t>(dtype_size(dtype));
        for (const int64_t extent : shape) {
          layout.strides.push_back(stride);
          stride *= extent + ghosts;
        }
        const Chunk chunk = make_chunk(layout, random);
        expect_packs(chunk);
        expect_packs_into_part(chunk, random);
      }
    }
  }
}

TEST(Pack, CopiesComponentsOfInterleavedVectors) {
  Random random(2);
  for (const deisa_dtype dtype : kAll) {
    const auto size = static_cast<int64_t>(dtype_size(dtype));
    for (const int64_t components : {2, 3, 4, 8, 16}) {
      // Structure of arrays from array of structures, the other way, and vectors with a gap.
      expect_packs(make_chunk({dtype, {components, 500}, {size, components * size}}, random));
      expect_packs(make_chunk({dtype, {500, components}, {size, 500 * size}}, random));
      expect_packs(make_chunk({dtype, {500, components}, {components * size + 8, size}}, random));
    }
  }
}

// Chunks of more than kStreamBytes, whose rows begin and end anywhere in a cache line.
TEST(Pack, CopiesLargeChunksPastTheCaches) {
  Random random(11);
  for (const int64_t width : {int64_t{32}, int64_t{67}, int64_t{2049}}) {
    const int64_t rows = (static_cast<int64_t>(kStreamBytes) / 8) / width + 3;
    const int64_t pitch = (width + 3) * 8;
    expect_packs(make_chunk({DEISA_FLOAT64, {rows, width}, {pitch, 8}}, random));
  }
  expect_packs(make_chunk({DEISA_INT8, {static_cast<int64_t>(kStreamBytes) + 77}, {1}}, random));
}

TEST(Pack, TakesTheMostDimensions) {
  Random random(3);
  std::vector<int64_t> shape(DEISA_MAX_DIMENSIONS, 1);
  for (const size_t d : {0, 7, 13, 14, 30, 31}) shape[d] = 3;
  Layout layout = Layout::contiguous(DEISA_FLOAT32, shape);
  expect_packs(make_chunk(layout, random));
  std::reverse(layout.strides.begin(), layout.strides.end());
  expect_packs(make_chunk(layout, random));
  for (int64_t& stride : layout.strides) stride *= 2;
  expect_packs(make_chunk(layout, random));
  std::fill(layout.shape.begin(), layout.shape.end(), 1);
  expect_packs(make_chunk(layout, random));
  const Layout all_two{DEISA_INT8, std::vector<int64_t>(16, 2), {}};
  Layout scattered = Layout::contiguous(DEISA_INT8, all_two.shape);
  std::shuffle(scattered.strides.begin(), scattered.strides.end(), random);
  expect_packs(make_chunk(scattered, random));
}

TEST(Pack, CopiesAScalarAndNothing) {
  Random random(4);
  expect_packs(make_chunk({DEISA_FLOAT64, {}, {}}, random));
  unsigned char untouched = 7;
  EXPECT_EQ(pack(Layout::contiguous(DEISA_FLOAT64, {3, 0}), nullptr, &untouched), 0u);
  EXPECT_EQ(untouched, 7);
}

template <typename Call>
std::string argument_error(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(Pack, RefusesALayoutThatIsNone) {
  unsigned char byte = 0;
  const std::vector<int64_t> many(DEISA_MAX_DIMENSIONS + 1, 1);
  const auto message = [&](const Layout& layout) {
    return argument_error([&] { pack(layout, &byte, &byte); });
  };
  EXPECT_NE(message({DEISA_INT8, many, many}).find("33 dimensions"), std::string::npos);
  EXPECT_NE(message({DEISA_INT8, {1, 1}, {1}}).find("1 strides"), std::string::npos);
  EXPECT_NE(message({DEISA_INT8, {2, -1}, {1, 1}}).find("(2, -1)"), std::string::npos);
  EXPECT_NE(message({static_cast<deisa_dtype>(15), {1}, {1}}).find("15 is no dtype"),
            std::string::npos);
}

TEST(Layout, CountsElementsAndBytes) {
  const Layout layout = Layout::contiguous(DEISA_COMPLEX128, {2, 3, 4});
  EXPECT_EQ(layout.elements(), 24u);
  EXPECT_EQ(layout.bytes(), 384u);
  EXPECT_EQ(layout.strides, (std::vector<int64_t>{192, 64, 16}));
}

TEST(Layout, RefusesSizesThatOverflow) {
  constexpr int64_t huge = int64_t{1} << 32;
  const Layout elements{DEISA_INT8, {huge, huge}, {1, 1}};
  EXPECT_NE(argument_error([&] { elements.elements(); }).find("4294967296"), std::string::npos);
  const Layout bytes{DEISA_FLOAT64, {huge, huge / 4}, {8, 8}};
  EXPECT_EQ(bytes.elements(), size_t{1} << 62);
  argument_error([&] { bytes.bytes(); });
  argument_error([&] { Layout::contiguous(DEISA_FLOAT64, {huge, huge / 4}); });
  EXPECT_EQ(Layout::contiguous(DEISA_FLOAT64, {huge, 0, huge}).bytes(), 0u);
}

TEST(Layout, KnowsWhetherItIsContiguous) {
  EXPECT_TRUE(Layout::contiguous(DEISA_FLOAT32, {4, 5, 6}).is_contiguous());
  EXPECT_TRUE((Layout{DEISA_FLOAT32, {1, 3, 1}, {-99, 4, 0}}.is_contiguous()));
  EXPECT_FALSE((Layout{DEISA_FLOAT32, {3}, {8}}.is_contiguous()));
  EXPECT_FALSE((Layout{DEISA_FLOAT32, {3}, {-4}}.is_contiguous()));
  EXPECT_FALSE((Layout{DEISA_FLOAT32, {2, 3}, {4, 8}}.is_contiguous()));
  EXPECT_FALSE((Layout{DEISA_FLOAT32, {2, 3}, {16, 4}}.is_contiguous()));
  EXPECT_FALSE((Layout{DEISA_FLOAT32, {2, 3}, {12}}.is_contiguous()));
}

}  // namespace
}  // namespace deisa
