// The element types of arrays: their sizes, NumPy names and Arrow formats.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "deisa/deisa.h"

namespace deisa {

// Of an array whose first chunk brings its dtype.
inline constexpr deisa_dtype kNoDtype = static_cast<deisa_dtype>(0);
inline constexpr size_t kLargestElement = 16;  // bytes

// Bytes of one element; 0 for a value that is no dtype.
size_t dtype_size(deisa_dtype dtype) noexcept;
// NumPy's name, such as "float64"; "unknown" for a value that is no dtype.
const char* dtype_name(deisa_dtype dtype) noexcept;
std::optional<deisa_dtype> dtype_from_name(std::string_view name) noexcept;
// All names, for messages: "bool, int8, ..., complex128".
const char* dtype_names() noexcept;

// Real and imaginary part: Arrow holds an element as a pair.
bool dtype_is_complex(deisa_dtype dtype) noexcept;
// Arrow's format string of the memory, such as "g" for float64: int8's for bool (arrow.bool8), that
// of one part for complex; "" for a value that is no dtype.
const char* dtype_arrow_format(deisa_dtype dtype) noexcept;

}  // namespace deisa
