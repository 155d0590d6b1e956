// How one chunk lies in memory, and its one copy into contiguous memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "chunk/dtype.hpp"

namespace deisa {

// A chunk in the simulation's memory. Element (0, ..., 0) is at the pointer that is given to pack().
struct Layout {
  deisa_dtype dtype = DEISA_FLOAT64;
  std::vector<int64_t> shape;    // elements, first dimension slowest in the packed chunk
  std::vector<int64_t> strides;  // bytes, any sign; as many as shape

  // Contiguous, last dimension fastest.
  static Layout contiguous(deisa_dtype dtype, std::vector<int64_t> shape);

  size_t elements() const;  // product of shape; throws Error(DEISA_ERROR_ARGUMENT) on overflow
  size_t bytes() const;     // elements() * dtype_size; throws likewise
  bool is_contiguous() const;
};

// Copies the chunk at `from` to `to`, contiguous with the last dimension fastest; `to` holds
// layout.bytes() bytes. Returns the bytes that were moved, which is layout.bytes().
size_t pack(const Layout& layout, const void* from, void* to);

}  // namespace deisa
