#include "base/number.hpp"

#include <locale.h>

#include <charconv>

namespace deisa {
namespace {

// from_chars knows no leading '+'.
std::string_view without_plus(std::string_view text) {
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  return plus ? text.substr(1) : text;
}

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  const std::string_view plain = without_plus(text);
  // from_chars also knows "inf" and "nan".
  if (plain.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
  const bool good = error == std::errc() && end == plain.data() + plain.size();
  return good ? std::optional<double>(value) : std::nullopt;
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
  const std::string_view plain = without_plus(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value, base);
  const bool good = error == std::errc() && end == plain.data() + plain.size();
  return good ? std::optional<int64_t>(value) : std::nullopt;
}

std::string number_text(double value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

std::string fixed_text(double value, int digits) {
  char text[400];  // the largest double has 309 digits
  const auto end =
      std::to_chars(text, text + sizeof(text), value, std::chars_format::fixed, digits);
  return {text, end.ptr};
}

PlainNumbers::PlainNumbers() {
  static const locale_t plain = ::newlocale(LC_ALL_MASK, "C", nullptr);
  before_ = ::uselocale(plain);
}

PlainNumbers::~PlainNumbers() { ::uselocale(static_cast<locale_t>(before_)); }

}  // namespace deisa
