// Chunks through the Arrow C Data Interface:
// https://arrow.apache.org/docs/format/CDataInterface.html
//
// What one chunk may look like in Arrow, from the outside in:
//   1. nothing (a primitive array of all elements, row-major), nested fixed-size lists, or one
//      arrow.fixed_shape_tensor, whose permutation becomes strides;
//   2. for complex64 and complex128, a fixed-size list of two float32 or float64;
//   3. a primitive array of the dtype; for bool, arrow.bool8.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chunk/layout.hpp"

namespace deisa {

// A chunk in the memory of an Arrow array: valid until that array is released. For pack().
struct ArrowView {
  const void* data = nullptr;  // element (0, ..., 0); need not be aligned
  Layout layout;
  // arrow.bool8 knows other values than 0 and 1. A chunk that has some is copied here, and `data`
  // points into the copy; else empty, and nothing was copied.
  std::shared_ptr<const std::vector<unsigned char>> booleans;
};

// Views one chunk of dtype `expected` and shape `expected_shape`. Accepted are
//  - a primitive array of as many elements, in row-major order;
//  - fixed-size lists, of which either the array's length and the lists' sizes are the shape, or
//  the
//    array has one item and the lists' sizes are the shape (or one list holds all the elements);
//  - an array with one arrow.fixed_shape_tensor of that (logical) shape.
// Offsets of the array and of its children are honoured. An extension type that is not known is
// taken for its storage. Both structs stay the caller's.
//
// Throws Error(DEISA_ERROR_CONTRACT), which names what was found and what was expected: another
// type or shape, nulls, a dictionary, bit-packed bool, released structs, malformed structs (as far
// as the interface lets a consumer see it: buffers have no length there). Throws
// Error(DEISA_ERROR_ARGUMENT) when `expected` is no dtype or `expected_shape` no shape.
ArrowView import_arrow(const ArrowArray& array, const ArrowSchema& schema, deisa_dtype expected,
                       const std::vector<int64_t>& expected_shape);

// Fills in `array` and `schema` with one arrow.fixed_shape_tensor at `data`, without a copy. The
// memory must be contiguous in some order of the dimensions: C order, or with a permutation of it,
// such as Fortran order. `owner`, which may be empty, is kept until `array` has been released, and
// each child that was moved out of it. Else the memory must outlive them. The caller releases both
// structs, in any order and on any thread.
//
// Throws Error(DEISA_ERROR_ARGUMENT) when a pointer is NULL or the layout is not contiguous, and
// Error(DEISA_ERROR_UNSUPPORTED) for more than 2^31-1 elements, which is Arrow's limit. Then both
// structs are marked released.
void export_arrow(const void* data, const Layout& layout, std::shared_ptr<const void> owner,
                  ArrowArray* array, ArrowSchema* schema);

// One chunk of an export_arrow_struct.
struct ArrowColumn {
  std::string name;
  const void* data;
  Layout layout;
};

// As export_arrow, for several chunks: one struct array of length 1, whose columns are tensors in
// the given order. A column lives on by itself when it is moved out.
void export_arrow_struct(const std::vector<ArrowColumn>& columns, std::shared_ptr<const void> owner,
                         ArrowArray* array, ArrowSchema* schema);

// Releases both structs at the end of a scope; either may be NULL or released already.
class ArrowRelease {
 public:
  ArrowRelease(ArrowArray* array, ArrowSchema* schema) noexcept : array_(array), schema_(schema) {}
  ArrowRelease(const ArrowRelease&) = delete;
  ArrowRelease& operator=(const ArrowRelease&) = delete;
  ~ArrowRelease() {
    if (array_ != nullptr && array_->release != nullptr) array_->release(array_);
    if (schema_ != nullptr && schema_->release != nullptr) schema_->release(schema_);
  }

 private:
  ArrowArray* array_;
  ArrowSchema* schema_;
};

}  // namespace deisa
