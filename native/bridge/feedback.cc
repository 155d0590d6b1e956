#include "bridge/feedback.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

namespace deisa {
namespace {

using nlohmann::json;

json unpack(const std::string& key, const std::string& packed) {
  json value = json::from_msgpack(packed, true, false);
  if (value.is_discarded()) {
    throw Error(DEISA_ERROR_INTERNAL, "feedback '" + key + "': the value is not MessagePack");
  }
  return value;
}

Error unfit(const std::string& key, const json& value, const char* expected) {
  std::string shown = value.is_binary()
                          ? "bytes or a NumPy array"
                          : value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (shown.size() > 120) shown = shown.substr(0, 117) + "...";
  return Error(DEISA_ERROR_ARGUMENT, "feedback '" + key + "' is " + shown + ": expected " +
                                         expected + "; deisa_get_packed reads any value");
}

}  // namespace

double unpack_double(const std::string& key, const std::string& packed) {
  const json value = unpack(key, packed);
  if (value.is_boolean()) return value.get<bool>() ? 1.0 : 0.0;
  if (value.is_number_float()) return value.get<double>();
  if (value.is_number_integer()) {
    constexpr int64_t kExact = INT64_C(1) << 53;
    const bool fits = value.is_number_unsigned()
                          ? value.get<uint64_t>() <= static_cast<uint64_t>(kExact)
                          : value.get<int64_t>() >= -kExact && value.get<int64_t>() <= kExact;
    if (fits) return static_cast<double>(value.get<int64_t>());
  }
  throw unfit(key, value, "a number that a double holds exactly");
}

int64_t unpack_int64(const std::string& key, const std::string& packed) {
  const json value = unpack(key, packed);
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (value.is_number_integer()) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX) {
      return value.get<int64_t>();
    }
  } else if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::trunc(number) == number && std::fabs(number) < 9.2e18) {
      return static_cast<int64_t>(number);
    }
  }
  throw unfit(key, value, "an integer of 64 bits");
}

}  // namespace deisa
