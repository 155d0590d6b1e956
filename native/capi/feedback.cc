#include "capi/feedback.hpp"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "capi/msgpack_depth.hpp"
#include "chunk/dtype.hpp"

namespace deisa {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 100;
constexpr uint64_t kArrayExtension = 1;
constexpr uint64_t kPickleExtension = 2;
constexpr size_t kMaxArrayDimensions = 64;  // NumPy's limit

json unpack(const std::string& key, const std::string& packed) {
  if (!is_at_most_deep(packed, kMaxDepth)) {
    throw Error(DEISA_ERROR_UNSUPPORTED, "feedback '" + key + "' has lists or maps more than " +
                                             std::to_string(kMaxDepth) + " deep");
  }
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
                                         expected + "; deisa_get reads any value");
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

FeedbackValue::FeedbackValue(const std::string& key, const std::string& packed) : key_(key) {
  root_ = convert(unpack(key, packed));
}

void FeedbackValue::malformed(const std::string& what) const {
  throw Error(DEISA_ERROR_INTERNAL, "feedback '" + key_ + "': " + what);
}

const void* FeedbackValue::keep(const void* bytes, size_t size) {
  memory_.emplace_back(size / sizeof(std::max_align_t) + 1);
  auto* kept = reinterpret_cast<char*>(memory_.back().data());
  if (size > 0) std::memcpy(kept, bytes, size);
  kept[size] = '\0';  // after a text; what a std::max_align_t has as padding is not zero
  return kept;
}

void FeedbackValue::add_items(deisa_value& value, std::vector<deisa_value> items) {
  items_.push_back(std::move(items));
  value.size = items_.back().size();
  value.items = items_.back().data();
}

deisa_value FeedbackValue::convert(const json& from) {
  deisa_value value = {};
  switch (from.type()) {
    case json::value_t::null:
      value.kind = DEISA_VALUE_NULL;
      break;
    case json::value_t::boolean:
      value.kind = DEISA_VALUE_BOOL;
      value.integer = from.get<bool>() ? 1 : 0;
      break;
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
      if (from.is_number_unsigned() && from.get<uint64_t>() > INT64_MAX) {
        value.kind = DEISA_VALUE_UNSIGNED;
        value.unsigned_integer = from.get<uint64_t>();
      } else {
        value.kind = DEISA_VALUE_INTEGER;
        value.integer = from.get<int64_t>();
      }
      break;
    case json::value_t::number_float:
      value.kind = DEISA_VALUE_NUMBER;
      value.number = from.get<double>();
      break;
    case json::value_t::string: {
      const auto& text = from.get_ref<const std::string&>();
      value.kind = DEISA_VALUE_STRING;
      value.size = text.size();
      value.data = keep(text.c_str(), text.size());
      break;
    }
    case json::value_t::binary: {
      const auto& bytes = from.get_binary();
      if (bytes.has_subtype()) {
        if (bytes.subtype() == kArrayExtension) return array(bytes);
        if (bytes.subtype() != kPickleExtension) malformed("an unknown extension type");
      }
      value.kind = bytes.has_subtype() ? DEISA_VALUE_PICKLE : DEISA_VALUE_BYTES;
      value.size = bytes.size();
      value.data = keep(bytes.data(), bytes.size());
      break;
    }
    case json::value_t::array: {
      std::vector<deisa_value> items;
      for (const json& one : from) items.push_back(convert(one));
      value.kind = DEISA_VALUE_LIST;
      add_items(value, std::move(items));
      break;
    }
    case json::value_t::object: {
      std::vector<deisa_value> items;
      std::vector<const char*> names;
      for (const auto& [name, one] : from.items()) {
        if (name.find('\0') != std::string::npos) {
          throw Error(DEISA_ERROR_UNSUPPORTED, "feedback '" + key_ + "' has a key with NUL in it");
        }
        names.push_back(static_cast<const char*>(keep(name.c_str(), name.size())));
        items.push_back(convert(one));
      }
      keys_.push_back(std::move(names));
      value.kind = DEISA_VALUE_MAP;
      value.keys = keys_.back().data();
      add_items(value, std::move(items));
      break;
    }
    default:
      malformed("a value of no known type");
  }
  return value;
}

// The extension's payload: MessagePack [dtype name, shape, bytes].
deisa_value FeedbackValue::array(const std::vector<uint8_t>& packed) {
  // [name, [extents], bytes]: two deep.
  const std::string_view bytes_of(reinterpret_cast<const char*>(packed.data()), packed.size());
  const json parts =
      is_at_most_deep(bytes_of, 2) ? json::from_msgpack(packed, true, false) : json();
  if (!parts.is_array() || parts.size() != 3 || !parts[0].is_string() || !parts[1].is_array() ||
      !parts[2].is_binary()) {
    malformed("an array is malformed");
  }
  const auto dtype = dtype_from_name(parts[0].get<std::string>());
  if (!dtype) malformed("an array of an unknown type, " + parts[0].get<std::string>());
  std::vector<int64_t> shape;
  const auto& bytes = parts[2].get_binary();
  bool fits = parts[1].size() <= kMaxArrayDimensions;
  size_t expected = dtype_size(*dtype);
  for (const json& extent : parts[1]) {
    // An extent of 0 takes none of the bytes; what comes after it may be anything.
    fits = fits && extent.is_number_unsigned() && extent.get<uint64_t>() <= INT64_MAX;
    if (!fits) break;
    shape.push_back(extent.get<int64_t>());
    const auto length = static_cast<size_t>(shape.back());
    fits = expected == 0 || length == 0 || length <= SIZE_MAX / expected;
    expected *= length;
  }
  if (!fits || expected != bytes.size()) malformed("an array's shape does not fit its bytes");
  deisa_value value = {};
  value.kind = DEISA_VALUE_ARRAY;
  value.dtype = *dtype;
  value.ndim = static_cast<int32_t>(shape.size());
  value.size = bytes.size();
  value.data = keep(bytes.data(), bytes.size());
  shapes_.push_back(std::move(shape));
  value.shape = shapes_.back().data();
  return value;
}

}  // namespace deisa
