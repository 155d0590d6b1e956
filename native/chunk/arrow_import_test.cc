#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <string>

#include "base/error.hpp"
#include "chunk/arrow.hpp"
#include "chunk/arrow_metadata.hpp"

namespace deisa {
namespace {

constexpr deisa_dtype kAll[] = {DEISA_BOOL,      DEISA_INT8,      DEISA_INT16,   DEISA_INT32,
                                DEISA_INT64,     DEISA_UINT8,     DEISA_UINT16,  DEISA_UINT32,
                                DEISA_UINT64,    DEISA_FLOAT16,   DEISA_FLOAT32, DEISA_FLOAT64,
                                DEISA_COMPLEX64, DEISA_COMPLEX128};

// An array of another producer: one level, whose child is a Foreign too. Its members may be broken
// at will; nothing is owned through the structs.
struct Foreign {
  std::string format;
  std::string metadata;
  std::vector<const void*> buffers;
  ArrowArray array{};
  ArrowSchema schema{};
  ArrowArray* child_array = nullptr;
  ArrowSchema* child_schema = nullptr;

  Foreign(std::string f, int64_t length, std::vector<const void*> b, Foreign* child = nullptr,
          const ArrowExtension& extension = {})
      : format(std::move(f)), buffers(std::move(b)) {
    if (!extension.name.empty()) metadata = write_arrow_extension(extension);
    schema.format = format.c_str();
    schema.metadata = metadata.empty() ? nullptr : metadata.data();
    schema.release = [](ArrowSchema* self) { self->release = nullptr; };
    array.length = length;
    array.n_buffers = static_cast<int64_t>(buffers.size());
    array.buffers = buffers.data();
    array.release = [](ArrowArray* self) { self->release = nullptr; };
    if (child != nullptr) {
      child_array = &child->array;
      child_schema = &child->schema;
      array.n_children = schema.n_children = 1;
      array.children = &child_array;
      schema.children = &child_schema;
    }
  }
  Foreign(const Foreign&) = delete;
};

ArrowView import(const Foreign& from, deisa_dtype dtype, const std::vector<int64_t>& shape) {
  return import_arrow(from.array, from.schema, dtype, shape);
}

// The message of the refusal; fails without one.
std::string refusal(const ArrowArray& array, const ArrowSchema& schema, deisa_dtype dtype,
                    const std::vector<int64_t>& shape) {
  try {
    import_arrow(array, schema, dtype, shape);
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_CONTRACT) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

std::string refusal(const Foreign& from, deisa_dtype dtype, const std::vector<int64_t>& shape) {
  return refusal(from.array, from.schema, dtype, shape);
}

#define EXPECT_SAYS(message, part) EXPECT_NE((message).find(part), std::string::npos) << (message)

const double kNumbers[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

std::vector<double> packed(const ArrowView& view) {
  std::vector<double> values(view.layout.elements());
  pack(view.layout, view.data, values.data());
  return values;
}

std::vector<double> from(int first, size_t count) {
  std::vector<double> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

// ---- What is accepted -----------------------------------------------------------------------

TEST(ArrowImport, ViewsAPrimitiveArrayOfEveryPlainDtype) {
  for (const deisa_dtype dtype : kAll) {
    if (dtype_is_complex(dtype) || dtype == DEISA_BOOL) continue;
    Foreign flat(dtype_arrow_format(dtype), 6, {nullptr, kNumbers});
    const ArrowView view = import(flat, dtype, {2, 3});
    EXPECT_EQ(view.data, kNumbers);
    EXPECT_EQ(view.layout.dtype, dtype);
    EXPECT_EQ(view.layout.shape, (std::vector<int64_t>{2, 3}));
    EXPECT_TRUE(view.layout.is_contiguous());
  }
}

TEST(ArrowImport, HonoursTheOffset) {
  Foreign flat("g", 4, {nullptr, kNumbers});
  flat.array.offset = 3;
  EXPECT_EQ(packed(import(flat, DEISA_FLOAT64, {2, 2})), from(3, 4));
}

TEST(ArrowImport, FollowsNestedListsWithOffsetsAtEachLevel) {
  Foreign leaf("g", 10, {nullptr, kNumbers});
  leaf.array.offset = 1;
  Foreign inner("+w:2", 4, {nullptr}, &leaf);
  inner.array.offset = 1;
  Foreign outer("+w:2", 1, {nullptr}, &inner);
  outer.array.offset = 1;
  // Outer item 1: inner items 2, 3, after the offset 3, 4: leaf items 6 to 9, after the offset 7.
  EXPECT_EQ(packed(import(outer, DEISA_FLOAT64, {2, 2})), from(7, 4));
}

TEST(ArrowImport, TakesListsWhoseSizesAreTheShape) {
  Foreign leaf("g", 12, {nullptr, kNumbers});
  Foreign rows("+w:4", 3, {nullptr}, &leaf);
  EXPECT_EQ(packed(import(rows, DEISA_FLOAT64, {3, 4})), from(0, 12));
  Foreign one("+w:3", 1, {nullptr}, &rows);
  EXPECT_EQ(packed(import(one, DEISA_FLOAT64, {3, 4})), from(0, 12));
  EXPECT_EQ(packed(import(one, DEISA_FLOAT64, {1, 3, 4})), from(0, 12));
  Foreign all("+w:12", 1, {nullptr}, &leaf);
  EXPECT_EQ(packed(import(all, DEISA_FLOAT64, {3, 4})), from(0, 12));
}

TEST(ArrowImport, TakesPairsForComplex) {
  Foreign parts("g", 12, {nullptr, kNumbers});
  parts.array.offset = 2;
  parts.array.length = 10;
  Foreign pairs("+w:2", 4, {nullptr}, &parts);
  pairs.array.offset = 1;
  ArrowView view = import(pairs, DEISA_COMPLEX128, {2, 2});
  EXPECT_EQ(view.data, kNumbers + 4);
  Foreign tensor("+w:4", 1, {nullptr}, &pairs,
                 {kTensorExtension, R"({"shape":[2,2],"permutation":[1,0]})"});
  view = import(tensor, DEISA_COMPLEX128, {2, 2});
  EXPECT_EQ(view.data, kNumbers + 4);
  EXPECT_EQ(view.layout.strides, (std::vector<int64_t>{16, 32}));
}

TEST(ArrowImport, TurnsAPermutationIntoStrides) {
  // Memory of shape (2, 3, 2); logical dimension i is dimension permutation[i] of it.
  Foreign leaf("g", 12, {nullptr, kNumbers});
  Foreign tensor(
      "+w:12", 1, {nullptr}, &leaf,
      {kTensorExtension, R"({"shape":[2,3,2],"dim_names":["a","b","c"],"permutation":[2,0,1]})"});
  const ArrowView view = import(tensor, DEISA_FLOAT64, {2, 2, 3});
  EXPECT_EQ(view.data, kNumbers);
  EXPECT_EQ(packed(view), (std::vector<double>{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11}));
}

TEST(ArrowImport, TakesBool8AndNormalisesItsValues) {
  const signed char clean[4] = {0, 1, 1, 0};
  Foreign view_of("c", 4, {nullptr, clean}, nullptr, {kBool8Extension, ""});
  EXPECT_EQ(import(view_of, DEISA_BOOL, {4}).data, clean);
  for (const int truth : {2, 127, -1}) {
    const signed char other[4] = {0, static_cast<signed char>(truth), 1, 0};
    Foreign copy_of("c", 4, {nullptr, other}, nullptr, {kBool8Extension, ""});
    const ArrowView view = import(copy_of, DEISA_BOOL, {4});
    EXPECT_EQ(std::memcmp(view.data, "\0\1\1\0", 4), 0) << truth;
  }
}

TEST(ArrowImport, TakesAnUnknownExtensionForItsStorage) {
  Foreign flat("g", 12, {nullptr, kNumbers}, nullptr, {"my.kelvin", "{}"});
  EXPECT_EQ(import(flat, DEISA_FLOAT64, {12}).data, kNumbers);
}

// ---- Nulls ------------------------------------------------------------------------------------

TEST(ArrowImport, CountsNullsThatAreUnknown) {
  const unsigned char valid[2] = {0xFE, 0xFF};
  Foreign flat("g", 11, {valid, kNumbers});
  flat.array.offset = 1;
  flat.array.null_count = -1;
  EXPECT_EQ(import(flat, DEISA_FLOAT64, {11}).data, kNumbers + 1);  // item 0 is null, and not ours
  flat.array.offset = 0;
  EXPECT_SAYS(refusal(flat, DEISA_FLOAT64, {11}), "1 nulls");
  const unsigned char late[2] = {0xFF, 0xF7};
  flat.buffers[0] = late;
  EXPECT_EQ(import(flat, DEISA_FLOAT64, {11}).data, kNumbers);
  flat.array.length = 12;
  EXPECT_SAYS(refusal(flat, DEISA_FLOAT64, {12}), "1 nulls");
  flat.buffers[0] = nullptr;
  EXPECT_EQ(import(flat, DEISA_FLOAT64, {12}).data, kNumbers);
}

TEST(ArrowImport, RefusesNullsAtEachLevel) {
  const unsigned char valid[2] = {0xEF, 0xFF};
  Foreign leaf("g", 12, {nullptr, kNumbers});
  Foreign list("+w:4", 3, {nullptr}, &leaf);
  leaf.buffers[0] = valid;
  leaf.array.null_count = 1;
  EXPECT_SAYS(refusal(list, DEISA_FLOAT64, {3, 4}), "Child level 1 of the Arrow array");
  leaf.array.null_count = -1;
  EXPECT_SAYS(refusal(list, DEISA_FLOAT64, {3, 4}), "1 nulls");
  list.array.length = 1;  // now item 4 is in the child only
  leaf.array.null_count = 1;
  EXPECT_EQ(packed(import(list, DEISA_FLOAT64, {4})), from(0, 4));
  list.array.null_count = 1;
  EXPECT_SAYS(refusal(list, DEISA_FLOAT64, {4}),
              "The Arrow array, fixed-size list(4) of float64, has 1 nulls");
}

// ---- Refusals -----------------------------------------------------------------------------------

TEST(ArrowImport, RefusesEveryOtherDtype) {
  for (const deisa_dtype found : kAll) {
    const bool is_complex = dtype_is_complex(found);
    const bool is_bool = found == DEISA_BOOL;
    Foreign leaf(dtype_arrow_format(found), is_complex ? 2 : 1, {nullptr, kNumbers}, nullptr,
                 {is_bool ? kBool8Extension : "", ""});
    Foreign pair("+w:2", 1, {nullptr}, &leaf);
    for (const deisa_dtype expected : kAll) {
      if (expected == found) {
        EXPECT_EQ(import(is_complex ? pair : leaf, expected, {1}).data, kNumbers);
      } else {
        const std::string message = refusal(is_complex ? pair : leaf, expected, {1});
        const std::string words = is_complex ? "fixed-size list(2) of float"
                                  : is_bool  ? "int8 (arrow.bool8)"
                                             : dtype_name(found);
        EXPECT_SAYS(message, "The Arrow array is " + words);
        // A pair is a list of two of its parts too, and then its shape is wrong.
        const bool part = is_complex && !dtype_is_complex(expected) &&
                          leaf.format == dtype_arrow_format(expected);
        EXPECT_SAYS(message, part ? std::string("of shape (1, 2); expected (1)")
                                  : std::string("expected elements of ") + dtype_name(expected));
      }
    }
  }
}

TEST(ArrowImport, RefusesOtherFormats) {
  for (const char* format : {"", "n", "u", "z", "d:19,10", "w:8", "tdD", "+s", "+l", "+vl", "gg"}) {
    Foreign other(format, 12, {nullptr, kNumbers});
    const std::string message = refusal(other, DEISA_FLOAT64, {12});
    EXPECT_SAYS(message, "The Arrow array is ");
    EXPECT_SAYS(message, "; expected float64");
    EXPECT_EQ(message.find(std::string("'") + format + "'") != std::string::npos,
              message.find("Arrow format") != std::string::npos)
        << message;
  }
  Foreign bits("b", 12, {nullptr, kNumbers});
  EXPECT_SAYS(refusal(bits, DEISA_BOOL, {12}), "use arrow.bool8");
  for (const char* format : {"+w:", "+w:0", "+w:-3", "+w:3x", "+w:99999999999999999999"}) {
    Foreign leaf("g", 12, {nullptr, kNumbers});
    Foreign list(format, 1, {nullptr}, &leaf);
    EXPECT_SAYS(refusal(list, DEISA_FLOAT64, {12}), format);
  }
}

TEST(ArrowImport, RefusesOtherShapes) {
  Foreign leaf("g", 12, {nullptr, kNumbers});
  EXPECT_SAYS(refusal(leaf, DEISA_FLOAT64, {11}), "shape (12); expected (11)");
  EXPECT_SAYS(refusal(leaf, DEISA_FLOAT64, {2, 5}), "10 elements");
  Foreign rows("+w:4", 3, {nullptr}, &leaf);
  EXPECT_SAYS(refusal(rows, DEISA_FLOAT64, {4, 3}), "shape (3, 4); expected (4, 3)");
  EXPECT_SAYS(refusal(rows, DEISA_FLOAT64, {12}), "shape (3, 4)");
  EXPECT_SAYS(refusal(rows, DEISA_COMPLEX128, {6}), "expected elements of complex128");
  rows.array.length = 4;
  EXPECT_SAYS(refusal(rows, DEISA_FLOAT64, {4, 4}), "has 12 items; its parent needs 16");
}

TEST(ArrowImport, RefusesTensorsThatDoNotMatch) {
  const auto message = [](const char* json, int64_t length, const std::vector<int64_t>& shape) {
    Foreign leaf("g", 12, {nullptr, kNumbers});
    Foreign tensor("+w:6", length, {nullptr}, &leaf, {kTensorExtension, json});
    return refusal(tensor, DEISA_FLOAT64, shape);
  };
  EXPECT_SAYS(message(R"({"shape":[2,3]})", 1, {3, 2}), "shape (2, 3); expected (3, 2)");
  EXPECT_SAYS(message(R"({"shape":[2,3]})", 2, {2, 2, 3}), "with 2 tensors; expected one");
  EXPECT_SAYS(message(R"({"shape":[2,3]})", 0, {2, 3}), "with 0 tensors; expected one");
  EXPECT_SAYS(message(R"({"shape":[2,4]})", 1, {2, 4}), "expected a list of 8");
  for (const char* json :
       {"", "{", "[]", "{}", "\"\xff\"", R"({"shape":6})", R"({"shape":[]})", R"({"shape":[2,-3]})",
        R"({"shape":[2,3.0]})", R"({"shape":[2,"3"]})", R"({"shape":[18446744073709551615]})",
        R"({"shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2,3]})",
        R"({"shape":[2,3],"permutation":[0]})", R"({"shape":[2,3],"permutation":[0,0]})",
        R"({"shape":[2,3],"permutation":[0,2]})", R"({"shape":[2,3],"permutation":[-1,0]})",
        R"({"shape":[2,3],"permutation":"01"})"}) {
    EXPECT_SAYS(message(json, 1, {2, 3}), "The metadata of arrow.fixed_shape_tensor");
  }
  Foreign leaf("g", 6, {nullptr, kNumbers}, nullptr, {kTensorExtension, R"({"shape":[6]})"});
  EXPECT_SAYS(refusal(leaf, DEISA_FLOAT64, {6}), "outermost only");
  Foreign list("+w:6", 1, {nullptr}, &leaf);
  EXPECT_SAYS(refusal(list, DEISA_FLOAT64, {6}), "outermost only");
}

TEST(ArrowImport, RefusesATensorShapeThatOverflows) {
  Foreign leaf("g", 6, {nullptr, kNumbers});
  Foreign tensor("+w:6", 1, {nullptr}, &leaf,
                 {kTensorExtension, R"({"shape":[4611686018427387904,16]})"});
  EXPECT_THROW(import(tensor, DEISA_FLOAT64, {6}), Error);
}

TEST(ArrowImport, RefusesDictionariesAndReleasedStructs) {
  Foreign leaf("g", 12, {nullptr, kNumbers});
  Foreign list("+w:12", 1, {nullptr}, &leaf);
  leaf.schema.dictionary = &list.schema;
  EXPECT_SAYS(refusal(leaf, DEISA_FLOAT64, {12}), "dictionary-encoded");
  leaf.schema.dictionary = nullptr;
  leaf.array.dictionary = &list.array;
  EXPECT_SAYS(refusal(list, DEISA_FLOAT64, {12}), "Child level 1 of the Arrow array is dictionary");
  leaf.array.dictionary = nullptr;
  leaf.array.release = nullptr;
  EXPECT_SAYS(refusal(leaf, DEISA_FLOAT64, {12}), "was released");
  EXPECT_SAYS(refusal(list, DEISA_FLOAT64, {12}), "Child level 1 of the Arrow array was released");
  Foreign other("g", 12, {nullptr, kNumbers});
  other.schema.release = nullptr;
  EXPECT_SAYS(refusal(other, DEISA_FLOAT64, {12}), "schema that was released");
}

TEST(ArrowImport, RefusesMalformedMembers) {
  const auto broken = [](void (*break_it)(Foreign& list, Foreign& leaf)) {
    Foreign leaf("g", 12, {nullptr, kNumbers});
    Foreign list("+w:12", 1, {nullptr}, &leaf);
    break_it(list, leaf);
    return refusal(list, DEISA_FLOAT64, {12});
  };
  using F = Foreign;
  EXPECT_SAYS(broken([](F& a, F&) { a.array.length = -1; }), "length -1");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.offset = -5; }), "offset -5");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.offset = INT64_MAX; }), "below 2^63");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.length = INT64_MAX; }), "more than memory can hold");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.null_count = -2; }), "null count of -2");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.n_children = 0; }), "0 children");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.n_children = -1; }), "-1 children");
  EXPECT_SAYS(broken([](F& a, F&) { a.schema.n_children = 2; }), "its schema 2");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.children = nullptr; }), "child that is NULL");
  EXPECT_SAYS(broken([](F& a, F&) { a.schema.children = nullptr; }), "child that is NULL");
  EXPECT_SAYS(broken([](F& a, F&) { a.child_array = nullptr; }), "child that is NULL");
  EXPECT_SAYS(broken([](F& a, F&) { a.child_schema = nullptr; }), "child that is NULL");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.n_buffers = 2; }), "2 buffers");
  EXPECT_SAYS(broken([](F& a, F&) { a.array.buffers = nullptr; }), "buffers at NULL");
  EXPECT_SAYS(broken([](F& a, F&) { a.schema.format = nullptr; }), "without a format");
  EXPECT_SAYS(broken([](F&, F& b) { b.array.n_buffers = 1; }), "1 buffers");
  EXPECT_SAYS(broken([](F&, F& b) { b.array.n_buffers = -1; }), "-1 buffers");
  EXPECT_SAYS(broken([](F&, F& b) { b.array.buffers = nullptr; }), "buffers at NULL");
  EXPECT_SAYS(broken([](F&, F& b) { b.buffers[1] = nullptr; }), "its buffer is NULL");
  EXPECT_SAYS(broken([](F&, F& b) { b.array.length = 11; }), "its parent needs 12");
  EXPECT_SAYS(broken([](F&, F& b) { b.array.offset = INT64_MAX - 12; }), "too far");
  EXPECT_SAYS(broken([](F&, F& b) { b.array.n_children = 1; }), "1 children");
  const int32_t bad = -3;
  Foreign leaf("g", 12, {nullptr, kNumbers});
  leaf.schema.metadata = reinterpret_cast<const char*>(&bad);
  EXPECT_SAYS(refusal(leaf, DEISA_FLOAT64, {12}), "negative number of pairs");
}

// A struct that is its own child must not be followed for ever.
TEST(ArrowImport, RefusesEndlessNesting) {
  Foreign leaf("g", 1, {nullptr, kNumbers});
  Foreign list("+w:1", 1, {nullptr}, &leaf);
  list.child_array = &list.array;
  list.child_schema = &list.schema;
  EXPECT_SAYS(refusal(list, DEISA_FLOAT64, {1}), "more than 32 nested lists");
}

// Breaks several members at once, at random; a sanitizer build sees what is read beyond them.
TEST(ArrowImport, SurvivesRandomDamage) {
  std::mt19937 random(7);
  const int64_t values[] = {INT64_MIN, -2, -1, 0, 1, 2, 3, 12, INT64_MAX / 12, INT64_MAX};
  const auto any = [&] { return values[random() % std::size(values)]; };
  int refused = 0;
  for (int repeat = 0; repeat < 20000; ++repeat) {
    const unsigned char valid[2] = {0xFF, 0xFF};
    Foreign leaf("g", 12, {nullptr, kNumbers});
    Foreign inner("+w:4", 3, {nullptr}, &leaf);
    Foreign outer("+w:3", 1, {nullptr}, &inner);
    Foreign* levels[] = {&outer, &inner, &leaf};
    for (int i = 0; i < 3; ++i) {
      Foreign& level = *levels[random() % 3];
      switch (random() % 10) {
        case 0:
          level.array.length = any();
          break;
        case 1:
          level.array.offset = any();
          break;
        case 2:
          level.array.null_count = std::max<int64_t>(any(), 0);
          break;
        case 3:
          level.array.n_children = any();
          break;
        case 4:
          level.schema.n_children = any();
          break;
        case 5:
          level.array.n_buffers = any();
          break;
        case 6:
          level.array.children = nullptr;
          break;
        case 7:
          level.array.buffers = nullptr;
          break;
        case 8:
          level.buffers[0] = valid;
          break;
        default:
          level.schema.format = values[random() % 10] > 0 ? "+w:12" : nullptr;
          break;
      }
    }
    try {
      import(outer, DEISA_FLOAT64, {3, 4});
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), DEISA_ERROR_CONTRACT);
      ++refused;
    }
  }
  EXPECT_GT(refused, 10000);
}

TEST(ArrowImport, RefusesArgumentsThatAreNone) {
  Foreign flat("g", 12, {nullptr, kNumbers});
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{}, {0}, {-1}, std::vector<int64_t>(33, 1)}) {
    try {
      import(flat, DEISA_FLOAT64, shape);
      ADD_FAILURE() << "accepted " << shape_text(shape);
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
    }
  }
  EXPECT_THROW(import(flat, static_cast<deisa_dtype>(0), {12}), Error);
}

TEST(ArrowRelease, ReleasesBothOnceAndTakesNull) {
  Foreign flat("g", 12, {nullptr, kNumbers});
  {
    const ArrowRelease release(&flat.array, &flat.schema);
    EXPECT_NE(flat.array.release, nullptr);
  }
  EXPECT_EQ(flat.array.release, nullptr);
  EXPECT_EQ(flat.schema.release, nullptr);
  const ArrowRelease again(&flat.array, &flat.schema);
  const ArrowRelease nothing(nullptr, nullptr);
}

}  // namespace
}  // namespace deisa
