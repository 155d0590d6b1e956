// The MessagePack of a feedback value. Input: the bytes.
#include "base/testing/fuzz.hpp"
#include "capi/feedback.hpp"

namespace {

// What a program does with a value: touches all of it.
size_t walk(const deisa_value& value) {
  size_t sum = value.size;
  const auto* bytes = static_cast<const unsigned char*>(value.data);
  if (bytes != nullptr && value.size > 0) sum += bytes[0] + bytes[value.size - 1];
  if (value.kind == DEISA_VALUE_STRING)
    deisa::fuzz::check(bytes[value.size] == 0, "NUL ends a text");
  for (int32_t d = 0; d < value.ndim; ++d) sum += static_cast<size_t>(value.shape[d]);
  if (value.kind == DEISA_VALUE_LIST || value.kind == DEISA_VALUE_MAP) {
    for (size_t i = 0; i < value.size; ++i) {
      if (value.kind == DEISA_VALUE_MAP) sum += std::strlen(value.keys[i]);
      sum += walk(value.items[i]);
    }
  }
  return sum;
}

template <typename Read>
void attempt(const Read& read) {
  try {
    (void)read();
  } catch (const deisa::Error&) {
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string packed(reinterpret_cast<const char*>(data), size);
  attempt([&] { return walk(deisa::FeedbackValue("key", packed).root()); });
  attempt([&] { return deisa::unpack_double("key", packed); });
  attempt([&] { return deisa::unpack_int64("key", packed); });
  return 0;
}
