// feedback.hpp - feedback values as C++ types. Included by deisa.hpp.
#ifndef DEISA_CPP_FEEDBACK_HPP
#define DEISA_CPP_FEEDBACK_HPP

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "deisa/cpp/exception.hpp"
#include "deisa/cpp/view.hpp"
#include "deisa/deisa.h"

namespace deisa {
inline namespace v0 {

namespace detail {

template <typename T>
bool fits(std::int64_t value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value == 0 || value == 1;
  } else if constexpr (std::is_signed_v<T>) {
    return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
  } else {
    return value >= 0 && static_cast<std::uint64_t>(value) <= std::numeric_limits<T>::max();
  }
}

// The text of a MessagePack string.
inline std::string unpack_text(const std::string& key, const unsigned char* data,
                               std::size_t size) {
  std::size_t head = 0, length = 0;
  const unsigned type = size > 0 ? data[0] : 0;
  if (type >= 0xa0 && type <= 0xbf) {
    head = 1;
    length = type & 0x1f;
  } else if (type >= 0xd9 && type <= 0xdb) {
    head = 1 + (std::size_t{1} << (type - 0xd9));
    for (std::size_t i = 1; i < head && i < size; ++i) length = length << 8 | data[i];
  }
  if (head == 0 || size < head || size - head != length) {
    raise(make_error(DEISA_ERROR_ARGUMENT,
                     "the feedback value '" + key + "' is no string: ask for another type"));
  }
  return std::string(reinterpret_cast<const char*>(data) + head, length);
}

template <typename T>
struct IsConstView : std::false_type {};
template <typename T>
struct IsConstView<View<const T>> : std::true_type {
  using Element = T;
};

// A NumPy array, where the library has it.
template <typename T>
View<const T> view_value(const std::string& key, const deisa_value& value) {
  if (value.kind != DEISA_VALUE_ARRAY || value.dtype != dtype_of<T>) {
    raise(make_error(DEISA_ERROR_ARGUMENT, "the feedback value '" + key +
                                               "' is no array of the type that was asked for"));
  }
  Extents shape;
  for (std::int32_t d = 0; d < value.ndim; ++d) shape.push_back(value.shape[d]);
  return View<const T>(static_cast<const T*>(value.data), shape);
}

// Nothing when there is no such value. Throws ArgumentError when it is of another type.
template <typename T>
std::optional<T> read_value(deisa_bridge* bridge, const std::string& key, std::int64_t timestep,
                            int flags) {
  if constexpr (std::is_floating_point_v<T>) {
    double value = 0;
    const Status status = call(deisa_get_double, bridge, key.c_str(), timestep, flags, &value);
    if (status != Status::ok) return std::nullopt;
    return static_cast<T>(value);
  } else if constexpr (std::is_integral_v<T>) {
    std::int64_t value = 0;
    const Status status = call(deisa_get_int64, bridge, key.c_str(), timestep, flags, &value);
    if (status != Status::ok) return std::nullopt;
    if (!fits<T>(value)) {
      raise(make_error(DEISA_ERROR_ARGUMENT,
                       "the feedback value '" + key + "' is " + std::to_string(value) +
                           ", which does not fit the type that was asked for"));
    }
    return static_cast<T>(value);
  } else if constexpr (std::is_same_v<T, const deisa_value*> || IsConstView<T>::value) {
    const deisa_value* value = nullptr;
    const Status status = call(deisa_get_value, bridge, key.c_str(), timestep, flags, &value);
    if (status != Status::ok) return std::nullopt;
    if constexpr (IsConstView<T>::value) {
      return view_value<typename IsConstView<T>::Element>(key, *value);
    } else {
      return value;
    }
  } else {
    const void* data = nullptr;
    std::size_t size = 0;
    const Status status =
        call(deisa_get_packed, bridge, key.c_str(), timestep, flags, &data, &size);
    if (status != Status::ok) return std::nullopt;
    if constexpr (std::is_same_v<T, std::string>) {
      return unpack_text(key, static_cast<const unsigned char*>(data), size);
    } else {
      static_assert(std::is_same_v<T, std::vector<std::byte>>,
                    "get() knows bool, numbers, std::string, View<const T>, const deisa_value* and "
                    "std::vector<std::byte>");
      const auto* bytes = static_cast<const std::byte*>(data);
      return T(bytes, bytes + size);
    }
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace deisa

#endif  // DEISA_CPP_FEEDBACK_HPP
