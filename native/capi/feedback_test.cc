#include "capi/feedback.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

namespace deisa {
namespace {

using nlohmann::json;

std::string packed(const json& value) {
  std::string bytes;
  json::to_msgpack(value, bytes);
  return bytes;
}

json extension(const json& parts, uint8_t type = 1) {
  std::vector<uint8_t> bytes = json::to_msgpack(parts);
  return json::binary(std::move(bytes), type);
}

json array(const char* dtype, const std::vector<int64_t>& shape, size_t bytes) {
  return extension({dtype, shape, json::binary(std::vector<uint8_t>(bytes, 1))});
}

deisa_status refused(const std::string& bytes) {
  try {
    FeedbackValue value("k", bytes);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'k'"), std::string::npos) << error.what();
    return error.status();
  }
  return DEISA_OK;
}

std::string text(const deisa_value& value) {
  EXPECT_EQ(value.kind, DEISA_VALUE_STRING);
  EXPECT_EQ(std::strlen(static_cast<const char*>(value.data)), value.size);
  return static_cast<const char*>(value.data);
}

TEST(Feedback, Scalars) {
  EXPECT_EQ(FeedbackValue("k", packed(nullptr)).root().kind, DEISA_VALUE_NULL);
  const FeedbackValue yes("k", packed(true));
  EXPECT_EQ(yes.root().kind, DEISA_VALUE_BOOL);
  EXPECT_EQ(yes.root().integer, 1);
  for (const int64_t number : {INT64_MIN, INT64_C(-1), INT64_C(0), INT64_MAX}) {
    const FeedbackValue integer("k", packed(number));
    EXPECT_EQ(integer.root().kind, DEISA_VALUE_INTEGER);
    EXPECT_EQ(integer.root().integer, number);
  }
  const FeedbackValue large("k", packed(UINT64_MAX));
  EXPECT_EQ(large.root().kind, DEISA_VALUE_UNSIGNED);
  EXPECT_EQ(large.root().unsigned_integer, UINT64_MAX);
  const FeedbackValue number("k", packed(-0.125));
  EXPECT_EQ(number.root().kind, DEISA_VALUE_NUMBER);
  EXPECT_EQ(number.root().number, -0.125);
}

TEST(Feedback, TextAndBytes) {
  EXPECT_EQ(text(FeedbackValue("k", packed("")).root()), "");
  // 16 bytes: as long as the memory is wide, so that the NUL needs more.
  EXPECT_EQ(text(FeedbackValue("k", packed("0123456789abcdef")).root()), "0123456789abcdef");
  const FeedbackValue bytes("k", packed(json::binary({0, 255})));
  EXPECT_EQ(bytes.root().kind, DEISA_VALUE_BYTES);
  ASSERT_EQ(bytes.root().size, 2u);
  EXPECT_EQ(std::memcmp(bytes.root().data, "\0\xff", 2), 0);
}

TEST(Feedback, ATextOfAnyLengthEndsWithNul) {
  for (size_t length = 0; length < 200; ++length) {
    // The memory that the value gets is most likely this, which is not zero.
    std::vector<std::vector<char>> dirty(16, std::vector<char>(length / 32 * 32 + 32, 'x'));
    dirty.clear();
    const FeedbackValue value("k", packed(std::string(length, 'y')));
    EXPECT_EQ(text(value.root()), std::string(length, 'y'));
  }
}

TEST(Feedback, ListsAndMaps) {
  const FeedbackValue value("k", packed({{"b", {1, {2, "x"}}}, {"a", json::object()}}));
  const deisa_value& map = value.root();
  ASSERT_EQ(map.kind, DEISA_VALUE_MAP);
  ASSERT_EQ(map.size, 2u);
  EXPECT_STREQ(map.keys[0], "a");
  EXPECT_EQ(map.items[0].kind, DEISA_VALUE_MAP);
  EXPECT_EQ(map.items[0].size, 0u);
  EXPECT_STREQ(map.keys[1], "b");
  const deisa_value& list = map.items[1];
  ASSERT_EQ(list.kind, DEISA_VALUE_LIST);
  ASSERT_EQ(list.size, 2u);
  EXPECT_EQ(list.items[0].integer, 1);
  ASSERT_EQ(list.items[1].size, 2u);
  EXPECT_EQ(text(list.items[1].items[1]), "x");
}

TEST(Feedback, Arrays) {
  const FeedbackValue list("k", packed({array("float64", {2, 3}, 48), array("int8", {}, 1),
                                        array("complex128", {0, 4}, 0)}));
  ASSERT_EQ(list.root().size, 3u);
  const deisa_value& matrix = list.root().items[0];
  EXPECT_EQ(matrix.kind, DEISA_VALUE_ARRAY);
  EXPECT_EQ(matrix.dtype, DEISA_FLOAT64);
  ASSERT_EQ(matrix.ndim, 2);
  EXPECT_EQ(matrix.shape[0], 2);
  EXPECT_EQ(matrix.shape[1], 3);
  EXPECT_EQ(matrix.size, 48u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(matrix.data) % alignof(std::max_align_t), 0u);
  EXPECT_EQ(static_cast<const unsigned char*>(matrix.data)[47], 1);
  EXPECT_EQ(list.root().items[1].ndim, 0);
  EXPECT_EQ(list.root().items[2].size, 0u);
  EXPECT_EQ(list.root().items[2].shape[1], 4);
}

TEST(Feedback, WhatIsNoValueIsRefused) {
  const json raw = json::binary(std::vector<uint8_t>(8));
  EXPECT_EQ(refused(""), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused("\xc1"), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(1) + packed(2)), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(extension({"int8", {1}, raw}))), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(extension({"int8", {-8}, raw}))), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(extension({"int8", {8.0}, raw}))), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(extension({"object", {8}, raw}))), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(extension({"int8", {INT64_MAX, INT64_MAX, 8}, raw}))),
            DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(extension({"int8", {8}}))), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(extension(7))), DEISA_ERROR_INTERNAL);
  EXPECT_EQ(refused(packed(extension({"int8", {8}, raw}, 5))), DEISA_ERROR_INTERNAL);
}

TEST(Feedback, WhatCCannotSayIsRefused) {
  json deep = 1;
  for (int i = 0; i < 100; ++i) deep = json::array({deep});
  EXPECT_EQ(FeedbackValue("k", packed(deep)).root().size, 1u);
  EXPECT_EQ(refused(packed(json::array({deep}))), DEISA_ERROR_UNSUPPORTED);
  EXPECT_EQ(refused(packed({{std::string("a\0b", 3), 1}})), DEISA_ERROR_UNSUPPORTED);
}

TEST(Feedback, Numbers) {
  EXPECT_EQ(unpack_double("k", packed(3)), 3.0);
  EXPECT_EQ(unpack_int64("k", packed(3.0)), 3);
  EXPECT_EQ(unpack_int64("k", packed(true)), 1);
  for (const json& other : {json(nullptr), json("3"), json({3}), array("int64", {2}, 16)}) {
    EXPECT_THROW(unpack_double("k", packed(other)), Error) << other;
    EXPECT_THROW(unpack_int64("k", packed(other)), Error) << other;
  }
  EXPECT_THROW(unpack_int64("k", packed(3.5)), Error);
  EXPECT_THROW(unpack_int64("k", packed(UINT64_MAX)), Error);
  EXPECT_THROW(unpack_double("k", packed((INT64_C(1) << 53) + 1)), Error);
}

// Deeper, the parser would run out of stack before it is looked at.
TEST(Feedback, DepthIsLimitedBeforeItIsParsed) {
  for (const std::string& level :
       {std::string("\x91"), std::string("\x81\xa1k"), std::string("\xdc\0\1", 3),
        std::string("\xdd\0\0\0\1", 5), std::string("\x92\xc7\2\5ab", 6)}) {
    std::string deep;
    for (int i = 0; i < 200000; ++i) deep += level;
    EXPECT_EQ(refused(deep + '\1'), DEISA_ERROR_UNSUPPORTED);
    EXPECT_THROW(unpack_double("k", deep), Error);
    EXPECT_THROW(unpack_int64("k", deep), Error);
  }
  std::vector<uint8_t> lists(200000, 0x91);
  EXPECT_EQ(refused(packed(json::binary(std::move(lists), 1))), DEISA_ERROR_INTERNAL);
}

}  // namespace
}  // namespace deisa
