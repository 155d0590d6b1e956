#include "chunk/dtype.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace deisa {
namespace {

constexpr deisa_dtype kAll[] = {DEISA_BOOL,      DEISA_INT8,      DEISA_INT16,   DEISA_INT32,
                                DEISA_INT64,     DEISA_UINT8,     DEISA_UINT16,  DEISA_UINT32,
                                DEISA_UINT64,    DEISA_FLOAT16,   DEISA_FLOAT32, DEISA_FLOAT64,
                                DEISA_COMPLEX64, DEISA_COMPLEX128};

TEST(Dtype, HasTheSizeThatItsNameSays) {
  for (const deisa_dtype dtype : kAll) {
    const std::string name = dtype_name(dtype);
    const size_t digits = name.find_first_of("0123456789");
    const size_t expected = digits == std::string::npos ? 1 : std::stoul(name.substr(digits)) / 8;
    EXPECT_EQ(dtype_size(dtype), expected) << name;
  }
}

TEST(Dtype, IsFoundByItsNameOnly) {
  std::set<std::string> names;
  for (const deisa_dtype dtype : kAll) {
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
    names.insert(dtype_name(dtype));
  }
  EXPECT_EQ(names.size(), std::size(kAll));
  for (const char* other : {"", "unknown", "float", "Float64", "float64 ", "float128", "<f8"}) {
    EXPECT_FALSE(dtype_from_name(other)) << other;
  }
}

TEST(Dtype, NamesListsEachOnceInOrder) {
  std::string expected;
  for (const deisa_dtype dtype : kAll) {
    expected += (expected.empty() ? "" : ", ") + std::string(dtype_name(dtype));
  }
  EXPECT_EQ(dtype_names(), expected);
}

TEST(Dtype, ValuesThatAreNoDtypeAreToldApart) {
  for (const int value : {0, 15}) {
    const auto dtype = static_cast<deisa_dtype>(value);
    EXPECT_EQ(dtype_size(dtype), 0u);
    EXPECT_STREQ(dtype_name(dtype), "unknown");
    EXPECT_STREQ(dtype_arrow_format(dtype), "");
    EXPECT_FALSE(dtype_is_complex(dtype));
  }
}

TEST(Dtype, HasArrowsFormat) {
  std::string formats;
  for (const deisa_dtype dtype : kAll) {
    formats += dtype_arrow_format(dtype);
    EXPECT_EQ(dtype_is_complex(dtype), std::string(dtype_name(dtype)).find("complex") == 0);
  }
  EXPECT_EQ(formats, "ccsilCSILefgfg");
}

}  // namespace
}  // namespace deisa
