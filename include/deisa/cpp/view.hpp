// view.hpp - memory with a shape: what deisa.hpp sends. Included by deisa.hpp.
//
// Everything that has data() and size() (std::vector, std::array, std::span) is a view of one
// dimension, a C array is one of all its dimensions, and everything that looks like std::mdspan
// (also the reference implementation's) is one with its extents and strides. For other types
// specialise deisa::Viewed.
#ifndef DEISA_CPP_VIEW_HPP
#define DEISA_CPP_VIEW_HPP

#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <type_traits>
#include <utility>

#include "deisa/cpp/exception.hpp"

namespace deisa {
inline namespace v0 {

// ---- dtypes -----------------------------------------------------------------------------------

// The dtype of a C++ type. Specialise it for types of your own, such as a 16-bit float:
//   template <> struct deisa::DType<half> { static constexpr deisa_dtype value = DEISA_FLOAT16; };
template <typename T, typename = void>
struct DType {
  static_assert(!sizeof(T*), "deisa has no dtype for this type: specialise deisa::DType for it");
};
template <>
struct DType<bool> {
  static_assert(sizeof(bool) == 1, "deisa sends bools of one byte");
  static constexpr deisa_dtype value = DEISA_BOOL;
};
template <>
struct DType<float> {
  static constexpr deisa_dtype value = DEISA_FLOAT32;
};
template <>
struct DType<double> {
  static constexpr deisa_dtype value = DEISA_FLOAT64;
};
template <>
struct DType<std::complex<float>> {
  static constexpr deisa_dtype value = DEISA_COMPLEX64;
};
template <>
struct DType<std::complex<double>> {
  static constexpr deisa_dtype value = DEISA_COMPLEX128;
};

namespace detail {
template <typename T, typename... Candidates>
constexpr bool is_one_of = (std::is_same_v<T, Candidates> || ...);
}  // namespace detail

// Integers by sign and size: int, long and std::int64_t alike. Not char, wchar_t and their like,
// which are text.
template <typename T>
struct DType<T, std::enable_if_t<detail::is_one_of<T, signed char, unsigned char, short,
                                                   unsigned short, int, unsigned, long,
                                                   unsigned long, long long, unsigned long long>>> {
  static constexpr deisa_dtype value =
      sizeof(T) == 1   ? (std::is_signed_v<T> ? DEISA_INT8 : DEISA_UINT8)
      : sizeof(T) == 2 ? (std::is_signed_v<T> ? DEISA_INT16 : DEISA_UINT16)
      : sizeof(T) == 4 ? (std::is_signed_v<T> ? DEISA_INT32 : DEISA_UINT32)
                       : (std::is_signed_v<T> ? DEISA_INT64 : DEISA_UINT64);
};

template <typename T>
inline constexpr deisa_dtype dtype_of = DType<std::remove_cv_t<T>>::value;

// ---- Extents ----------------------------------------------------------------------------------

// A few integers, one per dimension: {rows + 2, columns + 2}. Any integers, also unsigned ones.
class Extents {
 public:
  // None: of dimension 0.
  Extents() = default;
  // One for each dimension.
  template <typename... Integers,
            typename = std::enable_if_t<(sizeof...(Integers) > 0) &&
                                        (std::is_integral_v<Integers> && ...)>>
  Extents(Integers... values)
      : values_{static_cast<std::int64_t>(values)...}, size_(sizeof...(Integers)) {
    static_assert(sizeof...(Integers) <= DEISA_MAX_DIMENSIONS, "too many dimensions");
  }
  // Those of a container of integers.
  template <typename Container, typename = decltype(std::size(std::declval<const Container&>()))>
  Extents(const Container& values) {
    for (const auto value : values) push_back(static_cast<std::int64_t>(value));
  }

  // One more. Throws ArgumentError after DEISA_MAX_DIMENSIONS.
  void push_back(std::int64_t value) {
    if (size_ == DEISA_MAX_DIMENSIONS) {
      detail::raise(detail::make_error(
          DEISA_ERROR_ARGUMENT,
          "more than " + std::to_string(DEISA_MAX_DIMENSIONS) + " dimensions were given"));
    }
    values_[size_++] = value;
  }
  // As of a container.
  std::size_t size() const noexcept { return size_; }
  const std::int64_t* data() const noexcept { return values_.data(); }
  std::int64_t operator[](std::size_t dimension) const { return values_[dimension]; }
  std::int64_t& operator[](std::size_t dimension) { return values_[dimension]; }
  const std::int64_t* begin() const noexcept { return data(); }
  const std::int64_t* end() const noexcept { return data() + size_; }

 private:
  std::array<std::int64_t, DEISA_MAX_DIMENSIONS> values_{};
  std::size_t size_ = 0;
};

// Which dimension of contiguous memory is fastest.
enum class Order {
  c = DEISA_ORDER_C /* the last */,
  fortran = DEISA_ORDER_FORTRAN /* the first */
};

// ---- Views ------------------------------------------------------------------------------------

// Elements in memory that it does not own: a pointer to the first one, a shape, and strides in
// elements (not bytes). Checks nothing; copy it freely. Index (i, j, ...) of the view is
// index [i, j, ...] in the analytics, whatever its layout in memory.
template <typename T>
class View {
 public:
  // Contiguous memory.
  View(T* data, const Extents& shape, Order order = Order::c)
      : data_(data), shape_(shape), strides_(shape) {
    std::int64_t stride = 1;
    for (std::size_t i = 0; i < rank(); ++i) {
      const std::size_t d = order == Order::c ? rank() - 1 - i : i;
      strides_[d] = stride;
      stride *= shape_[d];
    }
  }
  // As many strides as extents.
  View(T* data, const Extents& shape, const Extents& strides)
      : data_(data), shape_(shape), strides_(strides) {
    if (shape.size() != strides.size()) {
      detail::raise(detail::make_error(DEISA_ERROR_ARGUMENT,
                                       "a view was given " + std::to_string(strides.size()) +
                                           " strides: expected one per dimension, " +
                                           std::to_string(shape.size())));
    }
  }
  // A view of doubles is one of constant doubles.
  template <typename U, typename = std::enable_if_t<std::is_same_v<const U, T>>>
  View(const View<U>& other)
      : data_(other.data()), shape_(other.shape()), strides_(other.strides()) {}

  // The first element; the number of dimensions; their extents, and their strides in elements.
  T* data() const noexcept { return data_; }
  std::size_t rank() const noexcept { return shape_.size(); }
  const Extents& shape() const noexcept { return shape_; }
  const Extents& strides() const noexcept { return strides_; }
  std::int64_t extent(std::size_t dimension) const { return shape_[dimension]; }

  // An element. Indices are not checked.
  template <typename... Indices>
  T& operator()(Indices... indices) const {
    std::int64_t offset = 0;
    std::size_t d = 0;
    ((offset += static_cast<std::int64_t>(indices) * strides_[d++]), ...);
    return data_[offset];
  }

  // Without the ghost cells: `before` and `after` of them in each dimension.
  View inside(const Extents& before, const Extents& after) const {
    View inner = *this;
    for (std::size_t d = 0; d < rank(); ++d) {
      inner = inner.part(d, before[d], shape_[d] - before[d] - after[d]);
    }
    return inner;
  }
  // The same number on every side.
  View inside(std::int64_t halo = 1) const {
    View inner = *this;
    for (std::size_t d = 0; d < rank(); ++d) inner = inner.part(d, halo, shape_[d] - 2 * halo);
    return inner;
  }
  // Every `step`-th of the indices of one dimension, from `first` on, `count` in all; a step may be
  // negative.
  View part(std::size_t dimension, std::int64_t first, std::int64_t count,
            std::int64_t step = 1) const {
    View chosen = *this;
    chosen.data_ += first * strides_[dimension];
    chosen.shape_[dimension] = count;
    chosen.strides_[dimension] *= step;
    return chosen;
  }

 private:
  T* data_;
  Extents shape_;
  Extents strides_;
};

// How to view a Source: a static function view(const Source&) that returns a View of constant
// elements. Specialise it for types of your own.
template <typename Source, typename = void>
struct Viewed {
  static_assert(
      !sizeof(Source*),
      "this is no memory that deisa can view: pass a deisa::View, a container, a span, an "
      "mdspan or a C array, or specialise deisa::Viewed for it");
};

template <typename T>
struct Viewed<View<T>> {
  static View<const T> view(const View<T>& source) { return source; }
};

// data() and size().
template <typename Source>
struct Viewed<Source,
              std::enable_if_t<!std::is_array_v<Source>,
                               std::void_t<decltype(*std::declval<const Source&>().data()),
                                           decltype(std::declval<const Source&>().size())>>> {
  static auto view(const Source& source) {
    using T = std::remove_pointer_t<decltype(source.data())>;
    return View<const T>(source.data(), Extents(source.size()));
  }
};

// double t[4][6].
template <typename T, std::size_t N>
struct Viewed<T[N], void> {
  using Element = std::remove_all_extents_t<T>;
  static auto view(const T (&source)[N]) {
    return View<const Element>(first(source), shape<T[N]>());
  }

 private:
  template <typename U>
  static const Element* first(const U& row) {
    if constexpr (std::is_array_v<U>) {
      return first(row[0]);
    } else {
      return &row;
    }
  }
  template <typename Array>
  static Extents shape() {
    return shape_of<Array>(std::make_index_sequence<std::rank_v<Array>>());
  }
  template <typename Array, std::size_t... Dimensions>
  static Extents shape_of(std::index_sequence<Dimensions...>) {
    return Extents(std::extent_v<Array, Dimensions>...);
  }
};

// data_handle(), extent(d), stride(d) and rank(): std::mdspan.
template <typename Source>
struct Viewed<Source,
              std::enable_if_t<!std::is_array_v<Source>,
                               std::void_t<decltype(*std::declval<const Source&>().data_handle()),
                                           decltype(std::declval<const Source&>().stride(0))>>> {
  static auto view(const Source& source) {
    static_assert(std::is_pointer_v<decltype(source.data_handle())>,
                  "deisa reads memory: this mdspan has an accessor of its own");
    using T = std::remove_pointer_t<decltype(source.data_handle())>;
    Extents shape, strides;
    for (std::size_t d = 0; d < static_cast<std::size_t>(Source::rank()); ++d) {
      shape.push_back(static_cast<std::int64_t>(source.extent(d)));
      strides.push_back(static_cast<std::int64_t>(source.stride(d)));
    }
    return View<const T>(source.data_handle(), shape, strides);
  }
};

// The view of anything that can be sent.
template <typename Source>
auto view_of(const Source& source) {
  return Viewed<Source>::view(source);
}

}  // namespace v0
}  // namespace deisa

#endif  // DEISA_CPP_VIEW_HPP
