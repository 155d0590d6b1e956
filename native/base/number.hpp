// Numbers as text. Everything that the library reads or writes goes through here: strtod, printf
// and C++ streams follow the locale that the program has set, in which 0.5 may be "0,5".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace deisa {

// The whole text as a decimal number, with nothing around it. nullopt: it is none, or beyond the
// range of the type.
std::optional<double> parse_number(std::string_view text);
std::optional<int64_t> parse_integer(std::string_view text, int base = 10);

// As short as it can be read back: 0.5, 120.
std::string number_text(double value);
// With so many digits after the point.
std::string fixed_text(double value, int digits);

// While it lives, the C functions that this thread calls read and write numbers as in C: for
// libraries that use them. The program's locale stays as it is.
class PlainNumbers {
 public:
  PlainNumbers();
  ~PlainNumbers();
  PlainNumbers(const PlainNumbers&) = delete;
  PlainNumbers& operator=(const PlainNumbers&) = delete;

 private:
  void* before_;
};

}  // namespace deisa
