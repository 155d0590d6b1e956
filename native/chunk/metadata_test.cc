// Runs the table of accepted and refused metadata, testdata/metadata_cases.json; the Java tests
// read the same table.
#include "chunk/metadata.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

namespace deisa {
namespace {

using nlohmann::json;

json cases() {
  std::ifstream file(DEISA_TESTDATA "/metadata_cases.json");
  return json::parse(file);
}

// What Bridge::define does, without the rules about defining twice.
Problems check(const json& arrays) {
  Problems problems;
  if (!arrays.is_object()) {
    problems.add("arrays_metadata: expected an object, array name -> metadata");
    return problems;
  }
  for (const auto& [name, metadata] : arrays.items()) parse_metadata(name, metadata, problems);
  return problems;
}

std::string message_of(const Problems& problems) {
  try {
    problems.raise(DEISA_ERROR_ARGUMENT, "");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Metadata, TableOfCases) {
  const json all = cases();
  ASSERT_GT(all.size(), 100u);
  for (const json& one : all) {
    const std::string message = message_of(check(one.at("arrays")));
    const std::string what = "[case " + one.at("case").get<std::string>() + "] " + message;
    if (one.at("accepted").get<bool>()) {
      EXPECT_EQ(message, "") << what;
      continue;
    }
    EXPECT_NE(message, "") << what;
    for (const json& text : one.at("expect")) {
      EXPECT_NE(message.find(text.get<std::string>()), std::string::npos)
          << what << "\nmisses: " << text;
    }
  }
}

TEST(Metadata, ProblemsThatDoNotFitAreCounted) {
  json many = json::object();
  for (int i = 0; i < 500; ++i) many["array" + std::to_string(1000 + i)] = {{"dtype", "real"}};
  const std::string message = message_of(check(many));
  EXPECT_LT(message.size(), sizeof(deisa_error::message));
  EXPECT_NE(message.find("array 'array1000': dtype = \"real\""), std::string::npos);
  const size_t at = message.rfind("\n  - and ");
  ASSERT_NE(at, std::string::npos) << message;
  EXPECT_GT(std::stoi(message.substr(at + std::strlen("\n  - and "))), 1900) << message;
}

json good() {
  return {{"chunk_shape", {4, 3}},
          {"nb_chunks_per_dim", {2, 2}},
          {"dtype", "float32"},
          {"chunk_position", {1, 0}}};
}

TEST(Metadata, ParsesWhatItAccepts) {
  Problems problems;
  const auto array = parse_metadata("t", good(), problems);
  ASSERT_TRUE(array);
  EXPECT_EQ(array->layout.dtype, DEISA_FLOAT32);
  EXPECT_EQ(array->layout.shape, (std::vector<int64_t>{4, 3}));
  EXPECT_EQ(array->layout.strides, (std::vector<int64_t>{12, 4}));
  EXPECT_EQ(array->grid, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(array->position, (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(array->bytes, 48u);
  EXPECT_EQ(array->chunks_of_node, -1);
}

TEST(Metadata, GlobalShapeGivesTheGrid) {
  Problems problems;
  json metadata = good();
  metadata.erase("nb_chunks_per_dim");
  metadata["global_shape"] = {8, 9};
  const auto array = parse_metadata("t", metadata, problems);
  ASSERT_TRUE(array);
  EXPECT_EQ(array->grid, (std::vector<int64_t>{2, 3}));
}

TEST(Metadata, RefusesANameThatIsNotUtf8) {
  Problems problems;
  EXPECT_FALSE(parse_metadata("a\xff\xfe", good(), problems));
  EXPECT_NE(message_of(problems).find("not UTF-8"), std::string::npos);
}

TEST(Metadata, LayoutStructBecomesTheSameChecks) {
  const int64_t shape[] = {4, 3};
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.ndim = 2;
  layout.chunk_shape = shape;
  Problems problems;
  parse_metadata("t", metadata_from_layout(layout), problems);
  const std::string message = message_of(problems);
  EXPECT_NE(message.find("nb_chunks_per_dim is missing"), std::string::npos) << message;
  EXPECT_NE(message.find("chunk_position is missing"), std::string::npos) << message;
}

TEST(Metadata, LayoutStructWithImpossibleDimensionsIsNotRead) {
  for (const int32_t ndim : {-3, 0, 33, 1 << 30}) {
    const int64_t shape[] = {4};
    deisa_layout layout = DEISA_LAYOUT_INIT;
    layout.ndim = ndim;
    layout.chunk_shape = layout.nb_chunks_per_dim = layout.chunk_position = shape;
    const int unknown = 99;
    std::memcpy(&layout.dtype, &unknown, sizeof(unknown));
    Problems problems;
    parse_metadata("t", metadata_from_layout(layout), problems);
    const std::string message = message_of(problems);
    EXPECT_EQ(message,
              "\n  - array 't': ndim = " + std::to_string(ndim) +
                  ": expected 1 ... 32 dimensions\n  - array 't': dtype = 99: expected one of " +
                  dtype_names());
  }
}

// Deeper, what copies or shows it would run out of stack.
TEST(Metadata, JsonThatIsNestedTooDeepIsRefused) {
  Problems problems;
  for (const size_t depth : {size_t{65}, size_t{100000}}) {
    for (const auto& [open, close] : {std::pair("[", "]"), std::pair(R"({"a":)", "}")}) {
      std::string text;
      for (size_t i = 0; i < depth; ++i) text += open;
      text += "1";
      for (size_t i = 0; i < depth; ++i) text += close;
      try {
        parse_arrays(text, problems);
        ADD_FAILURE() << "accepted";
      } catch (const Error& error) {
        EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
        EXPECT_STREQ(error.what(), "arrays_metadata: it is nested deeper than 64");
      }
    }
  }
}

}  // namespace
}  // namespace deisa
