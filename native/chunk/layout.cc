#include "chunk/layout.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"

namespace deisa {
namespace {

[[noreturn]] void too_large(const std::vector<int64_t>& shape) {
  throw Error(DEISA_ERROR_ARGUMENT,
              "A chunk of shape " + shape_text(shape) +
                  " has more bytes than memory can hold; expected a product below 2^63.");
}

int64_t checked_multiply(int64_t a, int64_t b, const std::vector<int64_t>& shape) {
  int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) too_large(shape);
  return product;
}

int64_t element_bytes(deisa_dtype dtype) {
  const size_t size = dtype_size(dtype);
  if (size == 0) {
    throw Error(DEISA_ERROR_ARGUMENT, "The value " + std::to_string(static_cast<int>(dtype)) +
                                          " is no dtype; expected one of " + dtype_names() + ".");
  }
  return static_cast<int64_t>(size);
}

}  // namespace

Layout Layout::contiguous(deisa_dtype dtype, std::vector<int64_t> shape) {
  Layout layout;
  layout.dtype = dtype;
  layout.shape = std::move(shape);
  layout.bytes();  // throws when the strides would not fit
  layout.strides.resize(layout.shape.size());
  int64_t stride = element_bytes(dtype);
  for (size_t d = layout.shape.size(); d-- > 0;) {
    layout.strides[d] = stride;
    // An extent of 0 leaves the strides of the others unused; they must only not overflow.
    if (layout.shape[d] > 0 && __builtin_mul_overflow(stride, layout.shape[d], &stride)) stride = 0;
  }
  return layout;
}

Layout Layout::inside(deisa_dtype dtype, std::vector<int64_t> shape,
                      const std::vector<int64_t>& before, const std::vector<int64_t>& after,
                      deisa_order order) {
  const size_t ndim = shape.size();
  std::vector<int64_t> block = shape;
  for (size_t d = 0; d < ndim; ++d) {
    if ((!before.empty() && __builtin_add_overflow(block[d], before[d], &block[d])) ||
        (!after.empty() && __builtin_add_overflow(block[d], after[d], &block[d]))) {
      too_large(shape);
    }
  }
  if (order == DEISA_ORDER_FORTRAN) std::reverse(block.begin(), block.end());
  Layout layout = contiguous(dtype, std::move(block));
  if (order == DEISA_ORDER_FORTRAN) std::reverse(layout.strides.begin(), layout.strides.end());
  layout.shape = std::move(shape);
  for (size_t d = 0; d < before.size(); ++d) layout.offset += before[d] * layout.strides[d];
  return layout;
}

size_t Layout::elements() const {
  bool empty = false;
  for (const int64_t extent : shape) {
    if (extent < 0) {
      throw Error(DEISA_ERROR_ARGUMENT, "The shape " + shape_text(shape) +
                                            " has a negative extent; expected positive integers.");
    }
    empty = empty || extent == 0;
  }
  if (empty) return 0;
  int64_t product = 1;
  for (const int64_t extent : shape) product = checked_multiply(product, extent, shape);
  return static_cast<size_t>(product);
}

size_t Layout::bytes() const {
  return static_cast<size_t>(
      checked_multiply(static_cast<int64_t>(elements()), element_bytes(dtype), shape));
}

bool Layout::is_contiguous() const {
  if (strides.size() != shape.size() || offset != 0) return false;
  if (elements() == 0) return true;
  int64_t expected = element_bytes(dtype);
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] == 1) continue;
    if (strides[d] != expected) return false;
    expected = checked_multiply(expected, shape[d], shape);
  }
  return true;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "(";
  for (size_t d = 0; d < shape.size(); ++d) {
    if (d > 0) text += ", ";
    text += std::to_string(shape[d]);
  }
  return text + ")";
}

}  // namespace deisa
