// feedback.hpp - feedback values as C++ types. Included by deisa.hpp.
#ifndef DEISA_CPP_FEEDBACK_HPP
#define DEISA_CPP_FEEDBACK_HPP

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "deisa/cpp/exception.hpp"
#include "deisa/cpp/options.hpp"
#include "deisa/cpp/view.hpp"
#include "deisa/deisa.h"

namespace deisa {
inline namespace v0 {

// GetOptions::timestep: the newest value, whatever its timestep.
inline constexpr std::int64_t latest = DEISA_LATEST;

// As deisa_get_options: bridge.get<double>("gain", {timestep, 10s, true}).
struct GetOptions {
  std::int64_t timestep = latest;
  Seconds wait{0};          // until there is such a value; then TimeoutError
  bool collective = false;  // bridge 0 reads, and every rank gets the same answer
};

namespace detail {

[[noreturn]] inline void unfit(const std::string& key, const char* expected) {
  raise(make_error(DEISA_ERROR_ARGUMENT, "the feedback value '" + key + "' is no " + expected +
                                             " that fits: ask for another type"));
}

// The number, if T can represent it exactly.
template <typename T, typename Number>
std::optional<T> exactly(Number number) {
  if constexpr (std::is_floating_point_v<Number> && std::is_integral_v<T>) {
    // 2^digits is the first number that T cannot represent, and a power of two is exact.
    const Number limit = std::ldexp(Number{1}, std::numeric_limits<T>::digits);
    const bool fits = number < limit && (std::is_signed_v<T> ? number >= -limit : number >= 0);
    if (!fits || std::trunc(number) != number) return std::nullopt;
  } else if constexpr (std::is_integral_v<Number> && std::is_floating_point_v<T>) {
    constexpr std::int64_t most = std::int64_t{1} << 53;
    const bool fits = std::is_signed_v<Number>
                          ? static_cast<std::int64_t>(number) >= -most &&
                                static_cast<std::int64_t>(number) <= most
                          : static_cast<std::uint64_t>(number) <= std::uint64_t{most};
    if (!fits) return std::nullopt;
  } else if constexpr (std::is_integral_v<Number>) {
    const bool negative = std::is_signed_v<Number> && static_cast<std::int64_t>(number) < 0;
    if (static_cast<Number>(static_cast<T>(number)) != number ||
        (negative !=
         (std::is_signed_v<T> && static_cast<std::int64_t>(static_cast<T>(number)) < 0))) {
      return std::nullopt;
    }
  }
  return static_cast<T>(number);
}

template <typename T>
T number_of(const std::string& key, const deisa_value& value) {
  std::optional<T> number;
  if (value.kind == DEISA_VALUE_BOOL || value.kind == DEISA_VALUE_INTEGER) {
    number = exactly<T>(value.integer);
  } else if (value.kind == DEISA_VALUE_UNSIGNED) {
    number = exactly<T>(value.unsigned_integer);
  } else if (value.kind == DEISA_VALUE_NUMBER) {
    number = exactly<T>(value.number);
  }
  if (!number) unfit(key, "number");
  return *number;
}

template <typename T>
struct IsConstView : std::false_type {};
template <typename T>
struct IsConstView<View<const T>> : std::true_type {
  using Element = T;
};

// A NumPy array, where the library has it.
template <typename T>
View<const T> view_of_value(const std::string& key, const deisa_value& value) {
  if (value.kind != DEISA_VALUE_ARRAY || value.dtype != dtype_of<T>) {
    unfit(key, "array of the elements that were asked for");
  }
  Extents shape;
  for (std::int32_t d = 0; d < value.ndim; ++d) shape.push_back(value.shape[d]);
  return View<const T>(static_cast<const T*>(value.data), shape);
}

// Throws ArgumentError when the value is of another type, or does not fit.
template <typename T>
T convert(const std::string& key, const deisa_value& value) {
  if constexpr (std::is_arithmetic_v<T>) {
    return number_of<T>(key, value);
  } else if constexpr (std::is_same_v<T, const deisa_value*>) {
    return &value;
  } else if constexpr (IsConstView<T>::value) {
    return view_of_value<typename IsConstView<T>::Element>(key, value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (value.kind != DEISA_VALUE_STRING) unfit(key, "text");
    return T(static_cast<const char*>(value.data), value.size);
  } else {
    static_assert(std::is_same_v<T, std::vector<std::byte>>,
                  "get() knows bool, numbers, std::string, View<const T>, const deisa_value* and "
                  "std::vector<std::byte>");
    if (value.kind != DEISA_VALUE_BYTES) unfit(key, "bytes");
    const auto* bytes = static_cast<const std::byte*>(value.data);
    return T(bytes, bytes + value.size);
  }
}

// NULL when there is no such value.
inline const deisa_value* read_value(deisa_bridge* bridge, const std::string& key,
                                     const GetOptions& options, bool all) {
  deisa_get_options given = DEISA_GET_OPTIONS_INIT;
  given.timestep = options.timestep;
  given.wait = options.wait.count();
  given.collective = options.collective ? 1 : 0;
  given.all = all ? 1 : 0;
  const deisa_value* value = nullptr;
  const Status status = call(deisa_get, bridge, key.c_str(), &given, &value);
  return status == Status::ok ? value : nullptr;
}

template <typename T>
std::vector<std::pair<std::int64_t, T>> convert_all(const std::string& key,
                                                    const deisa_value& list) {
  std::vector<std::pair<std::int64_t, T>> values;
  for (std::size_t i = 0; i < list.size; ++i) {
    const deisa_value* const pair = list.items[i].items;
    values.emplace_back(number_of<std::int64_t>(key, pair[0]), convert<T>(key, pair[1]));
  }
  return values;
}

}  // namespace detail
}  // namespace v0
}  // namespace deisa

#endif  // DEISA_CPP_FEEDBACK_HPP
