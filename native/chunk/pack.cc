// The one copy of a chunk. The destination, contiguous or a part of a larger array, is written in
// order, dimension by dimension; what varies is how the source is read:
//  - memcpy of rows, where the innermost dimension is contiguous; past the caches, when the chunk
//  is
//    large;
//  - a loop over elements, where it is strided;
//  - tiles through a small buffer, where an outer dimension is denser than the innermost one
//    (Fortran order): every cache line of the source and of the destination is then touched once.
#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/error.hpp"
#include "chunk/layout.hpp"
#include "chunk/stream.hpp"

namespace deisa {
namespace {

using Byte = unsigned char;

struct Dimension {
  int64_t extent;
  int64_t from;  // bytes between neighbours in the source
  int64_t to;    // ... and in the destination
};

// A chunk without what does not matter to a copy: dimensions of extent 1, and dimensions that
// continue the next one.
struct Plan {
  std::array<Dimension, DEISA_MAX_DIMENSIONS + 1> dimensions;
  size_t count = 0;
  size_t element = 0;  // bytes: 1, 2, 4, 8 or 16
  size_t bytes = 0;    // of the whole chunk
};

// `to_strides` NULL: to contiguous memory. The last dimension of a plan is contiguous there.
Plan make_plan(const Layout& layout, size_t bytes, const int64_t* to_strides) {
  Plan plan;
  plan.element = dtype_size(layout.dtype);
  plan.bytes = bytes;
  std::array<int64_t, DEISA_MAX_DIMENSIONS> contiguous;
  if (to_strides == nullptr) {
    auto stride = static_cast<int64_t>(plan.element);
    for (size_t d = layout.shape.size(); d-- > 0;) {
      contiguous[d] = stride;
      stride *= layout.shape[d];
    }
    to_strides = contiguous.data();
  }
  for (size_t d = 0; d < layout.shape.size(); ++d) {
    const Dimension next{layout.shape[d], layout.strides[d], to_strides[d]};
    if (next.extent == 1) continue;
    if (plan.count > 0) {
      Dimension& last = plan.dimensions[plan.count - 1];
      int64_t span = 0;
      if (!__builtin_mul_overflow(next.from, next.extent, &span) && last.from == span &&
          last.to == next.to * next.extent) {
        last.extent *= next.extent;
        last.from = next.from;
        last.to = next.to;
        continue;
      }
    }
    plan.dimensions[plan.count++] = next;
  }
  // A short contiguous row is one larger element: the components of a vector, for example.
  if (plan.count > 0) {
    const Dimension& last = plan.dimensions[plan.count - 1];
    const auto element = static_cast<int64_t>(plan.element);
    if (last.from == element && last.to == element && last.extent <= 16 / element) {
      const int64_t row = last.extent * element;
      if ((row & (row - 1)) == 0) {
        plan.element = static_cast<size_t>(row);
        --plan.count;
      }
    }
  }
  // A column of a larger array: rows of one element.
  const auto element = static_cast<int64_t>(plan.element);
  if (plan.count > 0 && plan.dimensions[plan.count - 1].to != element) {
    plan.dimensions[plan.count++] = {1, element, element};
  }
  return plan;
}

struct Element16 {
  uint64_t parts[2];
};

// Through memcpy: neither side need be aligned, and the types behind the memory do not matter.
template <typename T>
inline void copy_element(const Byte* from, Byte* to) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  std::memcpy(to, &value, sizeof(T));
}

template <typename T>
inline void copy_strided(const Byte* from, int64_t stride, Byte* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    copy_element<T>(from + i * stride, to + i * static_cast<int64_t>(sizeof(T)));
  }
}

#if defined(__GNUC__)
// Transposes a square of 16-byte vectors, read and written `from_pitch` and `to_pitch` bytes apart:
// interleaving the first half with the second, as often as the side can be halved.
template <typename T, size_t... Lane>
inline void transpose_square(const Byte* from, int64_t from_pitch, Byte* to, int64_t to_pitch,
                             std::index_sequence<Lane...>) {
  constexpr size_t side = sizeof...(Lane);
  typedef T Vector __attribute__((vector_size(16)));
  Vector even[side];
  Vector odd[side];
#pragma GCC unroll 16
  for (size_t i = 0; i < side; ++i) {
    std::memcpy(&even[i], from + static_cast<int64_t>(i) * from_pitch, 16);
  }
#pragma GCC unroll 4
  for (size_t stage = 1; stage < side; stage *= 2) {
#pragma GCC unroll 8
    for (size_t i = 0; i < side / 2; ++i) {
      const Vector a = even[i];
      const Vector b = even[i + side / 2];
      odd[2 * i] = __builtin_shufflevector(a, b, (Lane / 2 + Lane % 2 * side)...);
      odd[2 * i + 1] = __builtin_shufflevector(a, b, ((Lane + side) / 2 + Lane % 2 * side)...);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < side; ++i) even[i] = odd[i];
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < side; ++i) {
    std::memcpy(to + static_cast<int64_t>(i) * to_pitch, &even[i], 16);
  }
}
#endif

// Writes the columns of `lines` lines of `width` elements as rows, `to_pitch` bytes apart.
template <typename T>
void transpose(const Byte* from, int64_t from_pitch, int64_t lines, int64_t width, Byte* to,
               int64_t to_pitch) {
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  int64_t j = 0;
  int64_t done = 0;  // lines, of the first j columns
#if defined(__GNUC__)
  if constexpr (size < 16) {
    constexpr int64_t side = 16 / size;
    done = lines - lines % side;
    if (done > 0) {
      for (; j + side <= width; j += side) {
        for (int64_t i = 0; i < done; i += side) {
          transpose_square<T>(from + i * from_pitch + j * size, from_pitch,
                              to + j * to_pitch + i * size, to_pitch,
                              std::make_index_sequence<static_cast<size_t>(side)>());
        }
      }
    }
  }
#endif
  for (int64_t k = 0; k < width; ++k) {
    const int64_t first = k < j ? done : 0;
    copy_strided<T>(from + first * from_pitch + k * size, from_pitch,
                    to + k * to_pitch + first * size, lines - first);
  }
}

// Walks the addresses of `dimensions` in the source and in the destination, in the destination's order.
class Cursor {
 public:
  Cursor(const Dimension* dimensions, size_t count, const Byte* from, Byte* to)
      : dimensions_(dimensions), count_(count), at_(from), to_(to) {}

  const Byte* at() const { return at_; }
  Byte* to() const { return to_; }

  // False after the last index.
  bool next() {
    for (size_t d = count_; d-- > 0;) {
      if (index_[d] + 1 < dimensions_[d].extent) {
        ++index_[d];
        at_ += dimensions_[d].from;
        to_ += dimensions_[d].to;
        return true;
      }
      at_ -= dimensions_[d].from * index_[d];
      to_ -= dimensions_[d].to * index_[d];
      index_[d] = 0;
    }
    return false;
  }

 private:
  const Dimension* dimensions_;
  size_t count_;
  const Byte* at_;
  Byte* to_;
  std::array<int64_t, DEISA_MAX_DIMENSIONS + 1> index_{};
};

// Bytes of a tile, and of the buffer with its padding: in the second-level cache, long enough in
// both directions to use whole cache lines of the source and of the destination.
constexpr int64_t kTileBytes = 32768;
constexpr int64_t kBufferBytes = kTileBytes + kTileBytes / 2;

// The source is dense in the dimension `dense`. `columns` are the `count` dimensions after it, of
// `elements` elements in all: contiguous in the destination.
template <typename T>
void copy_tiles(const Byte* from, Byte* to, const Dimension& dense, const Dimension* columns,
                size_t count, int64_t elements) {
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  constexpr int64_t capacity = kTileBytes / size;
  // Lines of the buffer are padded by a cache line: neighbours in a column then fall in different
  // sets of the cache.
  constexpr int64_t padding = 64 / size;
  constexpr int64_t side = size >= 4 ? 64 : 128;
  alignas(64) Byte buffer[kBufferBytes];

  // A narrow chunk gets long tiles.
  int64_t width = std::min(dense.extent, side);
  const int64_t height = std::min(elements, capacity / width);
  width = std::min(dense.extent, capacity / height);
  const bool pad = height * (width + padding) * size <= kBufferBytes;
  const int64_t pitch = (pad ? width + padding : width) * size;

  for (int64_t r = 0; r < dense.extent; r += width) {
    const int64_t rows = std::min(width, dense.extent - r);
    Cursor cursor(columns, count, from + r * dense.from, to);
    for (int64_t c = 0; c < elements; c += height) {
      const int64_t lines = std::min(height, elements - c);
      for (int64_t i = 0; i < lines; ++i) {
        if (dense.from == size && rows * size >= 64) {
          std::memcpy(buffer + i * pitch, cursor.at(), static_cast<size_t>(rows * size));
        } else {
          copy_strided<T>(cursor.at(), dense.from, buffer + i * pitch, rows);
        }
        cursor.next();
      }
      transpose<T>(buffer, pitch, lines, rows, to + r * dense.to + c * size, dense.to);
    }
  }
}

// Shorter rows than this are not worth bypassing the caches: too many of their lines are shared.
constexpr int64_t kStreamRow = 256;

uint64_t magnitude(int64_t stride) {
  return stride < 0 ? 0 - static_cast<uint64_t>(stride) : static_cast<uint64_t>(stride);
}

// The outer dimension in which the source is densest, if it is denser than the innermost one;
// else plan.count.
size_t find_denser(const Plan& plan) {
  size_t best = plan.count;
  uint64_t smallest = magnitude(plan.dimensions[plan.count - 1].from);
  for (size_t d = 0; d + 1 < plan.count; ++d) {
    const uint64_t stride = magnitude(plan.dimensions[d].from);
    if (stride != 0 && stride < smallest) {
      smallest = stride;
      best = d;
    }
  }
  return best;
}

template <typename T>
void copy_elements(const Plan& plan, const Byte* from, Byte* to) {
  constexpr auto size = static_cast<int64_t>(sizeof(T));
  const Dimension* dimensions = plan.dimensions.data();
  const Dimension& inner = dimensions[plan.count - 1];
  const size_t denser = find_denser(plan);
  if (denser < plan.count) {
    // The columns of a tile are contiguous in the destination; what is neither dense nor in them has tiles
    // of its own.
    size_t columns = plan.count - 1;
    int64_t elements = inner.extent;
    for (; columns > denser + 1; --columns) {
      const Dimension& next = dimensions[columns - 1];
      if (next.to != dimensions[columns].to * dimensions[columns].extent) break;
      elements *= next.extent;
    }
    std::array<Dimension, DEISA_MAX_DIMENSIONS + 1> outer;
    size_t count = 0;
    for (size_t d = 0; d < columns; ++d) {
      if (d != denser) outer[count++] = dimensions[d];
    }
    Cursor cursor(outer.data(), count, from, to);
    do {
      copy_tiles<T>(cursor.at(), cursor.to(), dimensions[denser], dimensions + columns,
                    plan.count - columns, elements);
    } while (cursor.next());
    return;
  }
  const bool single = plan.count == 1;
  const Dimension rows = single ? Dimension{1, 0, 0} : dimensions[plan.count - 2];
  const int64_t bytes = inner.extent * size;
  const bool streams = bytes >= kStreamRow && plan.bytes >= kStreamBytes;
  Cursor cursor(dimensions, single ? 0 : plan.count - 2, from, to);
  do {
    for (int64_t r = 0; r < rows.extent; ++r) {
      const Byte* row = cursor.at() + r * rows.from;
      to = cursor.to() + r * rows.to;
      if (inner.from == size && streams) {
        copy_stream(to, row, static_cast<size_t>(bytes));
      } else if (inner.from == size) {
        std::memcpy(to, row, static_cast<size_t>(bytes));
      } else {
        copy_strided<T>(row, inner.from, to, inner.extent);
      }
    }
  } while (cursor.next());
  if (streams) finish_stream();
}

size_t pack_strided(const Layout& layout, const void* from, void* to, const int64_t* to_strides) {
  if (layout.shape.size() > DEISA_MAX_DIMENSIONS || layout.strides.size() != layout.shape.size()) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "A layout has " + std::to_string(layout.shape.size()) + " dimensions and " +
                    std::to_string(layout.strides.size()) + " strides; expected at most " +
                    std::to_string(DEISA_MAX_DIMENSIONS) + " dimensions and a stride for each.");
  }
  const size_t bytes = layout.bytes();
  if (bytes == 0) return 0;
  const Plan plan = make_plan(layout, bytes, to_strides);
  const auto* source = static_cast<const Byte*>(from) + layout.offset;
  auto* destination = static_cast<Byte*>(to);
  if (plan.count == 0) {
    std::memcpy(destination, source, bytes);
    return bytes;
  }
  switch (plan.element) {
    case 1:
      copy_elements<uint8_t>(plan, source, destination);
      break;
    case 2:
      copy_elements<uint16_t>(plan, source, destination);
      break;
    case 4:
      copy_elements<uint32_t>(plan, source, destination);
      break;
    case 8:
      copy_elements<uint64_t>(plan, source, destination);
      break;
    default:
      copy_elements<Element16>(plan, source, destination);
      break;
  }
  return bytes;
}

}  // namespace

size_t pack(const Layout& layout, const void* from, void* to) {
  return pack_strided(layout, from, to, nullptr);
}

size_t pack(const Layout& layout, const void* from, void* to,
            const std::vector<int64_t>& to_strides) {
  if (to_strides.size() != layout.shape.size()) {
    throw Error(DEISA_ERROR_ARGUMENT, "A chunk of " + std::to_string(layout.shape.size()) +
                                          " dimensions goes to memory with " +
                                          std::to_string(to_strides.size()) +
                                          " strides; expected a stride for each.");
  }
  return pack_strided(layout, from, to, to_strides.data());
}

}  // namespace deisa
