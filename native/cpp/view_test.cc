// View, Extents and dtypes of deisa.hpp; compiled as C++17 and as every newer standard that the
// compiler has.
#include <gtest/gtest.h>

#include <vector>
#if __has_include(<version>)
#include <version>
#endif
#ifdef __cpp_lib_span
#include <span>
#endif
#ifdef __cpp_lib_mdspan
#include <mdspan>
#endif

#include "deisa/deisa.hpp"

namespace {

using deisa::Extents;
using deisa::View;

std::vector<std::int64_t> list(const Extents& extents) { return {extents.begin(), extents.end()}; }

// The elements in the analytics' order: last index fastest.
template <typename T>
std::vector<std::remove_const_t<T>> elements(const View<T>& view) {
  std::vector<std::remove_const_t<T>> found;
  std::vector<std::int64_t> index(view.rank(), 0);
  for (;;) {
    std::int64_t offset = 0;
    for (size_t d = 0; d < view.rank(); ++d) offset += index[d] * view.strides()[d];
    found.push_back(view.data()[offset]);
    size_t d = view.rank();
    while (d > 0 && ++index[d - 1] == view.extent(d - 1)) index[--d] = 0;
    if (d == 0) return found;
  }
}

using Doubles = std::vector<double>;

Doubles counted(size_t size) {
  Doubles values(size);
  for (size_t i = 0; i < size; ++i) values[i] = static_cast<double>(i);
  return values;
}

TEST(DType, IsDeducedFromTheType) {
  EXPECT_EQ(deisa::dtype_of<bool>, DEISA_BOOL);
  EXPECT_EQ(deisa::dtype_of<std::int8_t>, DEISA_INT8);
  EXPECT_EQ(deisa::dtype_of<std::int16_t>, DEISA_INT16);
  EXPECT_EQ(deisa::dtype_of<std::int32_t>, DEISA_INT32);
  EXPECT_EQ(deisa::dtype_of<std::int64_t>, DEISA_INT64);
  EXPECT_EQ(deisa::dtype_of<long>, sizeof(long) == 8 ? DEISA_INT64 : DEISA_INT32);
  EXPECT_EQ(deisa::dtype_of<long long>, DEISA_INT64);
  EXPECT_EQ(deisa::dtype_of<std::uint8_t>, DEISA_UINT8);
  EXPECT_EQ(deisa::dtype_of<std::uint16_t>, DEISA_UINT16);
  EXPECT_EQ(deisa::dtype_of<std::uint32_t>, DEISA_UINT32);
  EXPECT_EQ(deisa::dtype_of<std::uint64_t>, DEISA_UINT64);
  EXPECT_EQ(deisa::dtype_of<float>, DEISA_FLOAT32);
  EXPECT_EQ(deisa::dtype_of<const double>, DEISA_FLOAT64);
  EXPECT_EQ(deisa::dtype_of<std::complex<float>>, DEISA_COMPLEX64);
  EXPECT_EQ(deisa::dtype_of<std::complex<double>>, DEISA_COMPLEX128);
}

TEST(Extents, TakeIntegersOfEveryTypeAndContainers) {
  const size_t unsigned_size = 7;
  EXPECT_EQ(list({3, unsigned_size, 5L}), (std::vector<std::int64_t>{3, 7, 5}));
  EXPECT_EQ(list(std::vector<int>{4, 6}), (std::vector<std::int64_t>{4, 6}));
  EXPECT_TRUE(list({}).empty());
  EXPECT_THROW(Extents(std::vector<int>(DEISA_MAX_DIMENSIONS + 1, 1)), deisa::ArgumentError);
}

TEST(View, IsContiguousInEitherOrder) {
  Doubles values = counted(6);
  const View<double> c(values.data(), {2, 3});
  EXPECT_EQ(list(c.strides()), (std::vector<std::int64_t>{3, 1}));
  EXPECT_EQ(c(1, 2), 5);
  const View<double> fortran(values.data(), {2, 3}, deisa::Order::fortran);
  EXPECT_EQ(list(fortran.strides()), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(elements(fortran), (Doubles{0, 2, 4, 1, 3, 5}));
}

TEST(View, LeavesGhostCellsOut) {
  Doubles values = counted(4 * 5);
  const View<double> all(values.data(), {4, 5});
  EXPECT_EQ(elements(all.inside()), (Doubles{6, 7, 8, 11, 12, 13}));
  const View<double> uneven = all.inside({1, 0}, {0, 2});
  EXPECT_EQ(list(uneven.shape()), (std::vector<std::int64_t>{3, 3}));
  EXPECT_EQ(elements(uneven), (Doubles{5, 6, 7, 10, 11, 12, 15, 16, 17}));
}

TEST(View, TakesPartsAlsoBackwards) {
  Doubles values = counted(4 * 5);
  const View<double> all(values.data(), {4, 5});
  EXPECT_EQ(elements(all.part(0, 1, 2).part(1, 0, 3, 2)), (Doubles{5, 7, 9, 10, 12, 14}));
  EXPECT_EQ(elements(all.part(0, 0, 1).part(1, 4, 5, -1)), (Doubles{4, 3, 2, 1, 0}));
}

TEST(View, NeedsAStridePerDimension) {
  double value = 0;
  EXPECT_THROW(View<double>(&value, {2, 3}, Extents(1)), deisa::ArgumentError);
}

TEST(View, OfAContainerHasOneDimension) {
  const Doubles values = counted(4);
  EXPECT_EQ(elements(deisa::view_of(values)), values);
  const std::array<int, 3> few = {5, 6, 7};
  const View<const int> view = deisa::view_of(few);
  EXPECT_EQ(list(view.shape()), (std::vector<std::int64_t>{3}));
  EXPECT_EQ(view(2), 7);
}

TEST(View, OfACArrayHasItsDimensions) {
  float values[2][3][4] = {};
  values[1][2][3] = 8;
  const View<const float> view = deisa::view_of(values);
  EXPECT_EQ(view.data(), &values[0][0][0]);
  EXPECT_EQ(list(view.shape()), (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(view(1, 2, 3), 8);
  const int row[5] = {};
  EXPECT_EQ(list(deisa::view_of(row).shape()), (std::vector<std::int64_t>{5}));
}

// As much of std::mdspan as is used; its reference implementation has the same.
struct Transposed {
  const double* first;
  static constexpr size_t rank() { return 2; }
  const double* data_handle() const { return first; }
  size_t extent(size_t d) const { return d == 0 ? 3 : 2; }
  size_t stride(size_t d) const { return d == 0 ? 1 : 3; }
};

TEST(View, OfWhatLooksLikeAnMdspanHasItsStrides) {
  const Doubles values = counted(6);
  const auto view = deisa::view_of(Transposed{values.data()});
  EXPECT_EQ(elements(view), (Doubles{0, 3, 1, 4, 2, 5}));
}

#ifdef __cpp_lib_span
TEST(View, OfASpanHasOneDimension) {
  Doubles values = counted(4);
  const std::span<double> part(values.data() + 1, 2);
  EXPECT_EQ(elements(deisa::view_of(part)), (Doubles{1, 2}));
  EXPECT_EQ(elements(deisa::view_of(std::span<const double, 3>(values.data(), 3))),
            (Doubles{0, 1, 2}));
}
#endif

#ifdef __cpp_lib_mdspan
TEST(View, OfAnMdspanHasItsStrides) {
  Doubles values = counted(6);
  const std::mdspan<double, std::dextents<size_t, 2>, std::layout_left> columns(values.data(), 3,
                                                                                2);
  EXPECT_EQ(elements(deisa::view_of(columns)), (Doubles{0, 3, 1, 4, 2, 5}));
}
#endif

}  // namespace
