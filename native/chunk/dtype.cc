#include "chunk/dtype.hpp"

#include <iterator>

namespace deisa {
namespace {

struct Entry {
  deisa_dtype dtype;
  size_t size;
  const char* name;
  const char* arrow_format;
};

// In the order of deisa_dtype, which starts at 1.
constexpr Entry kEntries[] = {
    {DEISA_BOOL, 1, "bool", "c"},           {DEISA_INT8, 1, "int8", "c"},
    {DEISA_INT16, 2, "int16", "s"},         {DEISA_INT32, 4, "int32", "i"},
    {DEISA_INT64, 8, "int64", "l"},         {DEISA_UINT8, 1, "uint8", "C"},
    {DEISA_UINT16, 2, "uint16", "S"},       {DEISA_UINT32, 4, "uint32", "I"},
    {DEISA_UINT64, 8, "uint64", "L"},       {DEISA_FLOAT16, 2, "float16", "e"},
    {DEISA_FLOAT32, 4, "float32", "f"},     {DEISA_FLOAT64, 8, "float64", "g"},
    {DEISA_COMPLEX64, 8, "complex64", "f"}, {DEISA_COMPLEX128, 16, "complex128", "g"},
};

constexpr bool in_order() {
  for (size_t i = 0; i < std::size(kEntries); ++i) {
    if (static_cast<size_t>(kEntries[i].dtype) != i + 1) return false;
  }
  return true;
}
static_assert(in_order(), "find() indexes the table by dtype");

// NULL for a value that is no dtype; callers in C may pass any integer.
const Entry* find(deisa_dtype dtype) noexcept {
  const auto value = static_cast<long long>(dtype);
  if (value < 1 || value > static_cast<long long>(std::size(kEntries))) return nullptr;
  return &kEntries[value - 1];
}

}  // namespace

size_t dtype_size(deisa_dtype dtype) noexcept {
  const Entry* entry = find(dtype);
  return entry == nullptr ? 0 : entry->size;
}

const char* dtype_name(deisa_dtype dtype) noexcept {
  const Entry* entry = find(dtype);
  return entry == nullptr ? "unknown" : entry->name;
}

std::optional<deisa_dtype> dtype_from_name(std::string_view name) noexcept {
  for (const Entry& entry : kEntries) {
    if (name == entry.name) return entry.dtype;
  }
  return std::nullopt;
}

const char* dtype_names() noexcept {
  return "bool, int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, float32, "
         "float64, complex64, complex128";
}

bool dtype_is_complex(deisa_dtype dtype) noexcept {
  return dtype == DEISA_COMPLEX64 || dtype == DEISA_COMPLEX128;
}

const char* dtype_arrow_format(deisa_dtype dtype) noexcept {
  const Entry* entry = find(dtype);
  return entry == nullptr ? "" : entry->arrow_format;
}

}  // namespace deisa
