// What the programs NAME_fuzz.cc share. Each defines the one function that libFuzzer calls, with any bytes: dev/fuzz
// lets it. fuzz_main.cc calls it as well, from a program of any compiler, for ./test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace deisa::fuzz {

// Takes an input apart. Past its end everything is 0 or empty.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }
  std::string_view bytes(size_t most) {
    const std::string_view taken = rest_.substr(0, most);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() { return bytes(rest_.size()); }
  template <typename Number>
  Number number() {
    Number value = 0;
    const std::string_view taken = bytes(sizeof(value));
    std::memcpy(&value, taken.data(), taken.size());
    return value;
  }
  uint8_t byte() { return number<uint8_t>(); }
  // Two bytes of length, and so many.
  std::string_view part() { return bytes(number<uint16_t>()); }

 private:
  std::string_view rest_;
};

// Ends the program, as a sanitizer does, when a rule does not hold.
inline void check(bool holds, const std::string& rule) {
  if (holds) return;
  std::fprintf(stderr, "the rule does not hold: %s\n", rule.c_str());
  std::abort();
}

}  // namespace deisa::fuzz
