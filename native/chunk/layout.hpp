// How one chunk lies in memory, and its one copy into contiguous memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "chunk/dtype.hpp"

namespace deisa {

// A chunk in the simulation's memory.
struct Layout {
  deisa_dtype dtype = DEISA_FLOAT64;
  std::vector<int64_t> shape;    // elements, first dimension slowest in the packed chunk
  std::vector<int64_t> strides;  // bytes, any sign; as many as shape
  int64_t offset = 0;            // bytes from the pointer given to pack() to element (0, ..., 0)

  // Contiguous, last dimension fastest. Throws Error(DEISA_ERROR_ARGUMENT) as bytes() does.
  static Layout contiguous(deisa_dtype dtype, std::vector<int64_t> shape);
  // Inside a contiguous block that has `before` and `after` ghost cells around the chunk in each
  // dimension (none where the list is empty). The pointer is that of the block. Throws
  // Error(DEISA_ERROR_ARGUMENT) as bytes() of the block does.
  static Layout inside(deisa_dtype dtype, std::vector<int64_t> shape,
                       const std::vector<int64_t>& before, const std::vector<int64_t>& after,
                       deisa_order order);

  // Product of shape, 1 without dimensions. Throws Error(DEISA_ERROR_ARGUMENT) when an extent is
  // negative or the product does not fit 63 bits.
  size_t elements() const;
  // elements() * dtype_size. Throws likewise, and for a value that is no dtype.
  size_t bytes() const;
  // Whether the memory at the pointer is the packed chunk already. Strides of dimensions of extent
  // 1 do not count.
  bool is_contiguous() const;
};

// Copies the chunk at `from` to `to`, contiguous with the last dimension fastest; `to` holds
// layout.bytes() bytes and does not overlap the chunk. Neither pointer need be aligned. Returns the
// bytes that were moved, which is layout.bytes(). Throws Error(DEISA_ERROR_ARGUMENT) as bytes()
// does, and when there are more than DEISA_MAX_DIMENSIONS dimensions or not as many strides.
// Thread safe; the source is only read.
size_t pack(const Layout& layout, const void* from, void* to);
// The same to memory with these strides, in bytes, as many as the layout has: the chunk's part of a
// larger array, for example. Its elements do not overlap, and those of the last dimension are
// neighbours.
size_t pack(const Layout& layout, const void* from, void* to,
            const std::vector<int64_t>& to_strides);

// "(2, 3)", for messages.
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace deisa
