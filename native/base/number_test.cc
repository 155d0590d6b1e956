#include "base/number.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "base/testing/other_locale.hpp"

namespace deisa {
namespace {

TEST(Number, Parse) {
  EXPECT_EQ(parse_number("0.5"), 0.5);
  EXPECT_EQ(parse_number("+30"), 30);
  EXPECT_EQ(parse_number("-.25"), -0.25);
  EXPECT_EQ(parse_number("1.E+3"), 1000);
  for (const char* none : {"", "+", "-", ".", "+-1", "--1", "0,5", "1,234.5", " 1", "1 ", "1s",
                           "0x10", "inf", "nan", "1e", "1e999", "1e-999"}) {
    EXPECT_EQ(parse_number(none), std::nullopt) << none;
  }
  EXPECT_EQ(parse_integer("-12"), -12);
  EXPECT_EQ(parse_integer("1f", 16), 31);
  for (const char* none : {"", "1.0", "1 000", "99999999999999999999", "+-1"}) {
    EXPECT_EQ(parse_integer(none), std::nullopt) << none;
  }
}

TEST(Number, Print) {
  EXPECT_EQ(number_text(120), "120");
  EXPECT_EQ(number_text(0.1), "0.1");
  EXPECT_EQ(fixed_text(1234.56, 1), "1234.6");
  EXPECT_EQ(fixed_text(std::numeric_limits<double>::max(), 3).size(), 313u);
}

TEST(Number, WhateverTheLocale) {
  for (const char* name : {"de_DE", "ps_AF"}) {
    const testing::OtherLocale locale(name);
    ASSERT_TRUE(locale.is_there());
    EXPECT_EQ(std::strtod("0.5", nullptr), 0) << "the locale is one that matters";
    EXPECT_EQ(parse_number("0.5"), 0.5);
    EXPECT_EQ(parse_number("0,5"), std::nullopt);
    EXPECT_EQ(number_text(1234567.5), "1234567.5");
    EXPECT_EQ(fixed_text(1234567.5, 2), "1234567.50");
    {
      const PlainNumbers plain;
      EXPECT_EQ(std::strtod("0.5", nullptr), 0.5);
    }
    EXPECT_EQ(std::strtod("0.5", nullptr), 0) << "the program's again";
  }
}

}  // namespace
}  // namespace deisa
