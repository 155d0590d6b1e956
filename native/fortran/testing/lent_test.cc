// Fortran pointers at lent memory, against a node actor that the test plays: lent.f90 computes
// there, and the bytes that arrive are compared here.
#include <complex>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

extern "C" {
struct LentOutcome {
  int stat;
  char message[1024];
};
void lent_start();
void lent_finish();
void lent_bytes_copied(int64_t* bytes);
void lent_steps(int* wrong);
void lent_kinds();
void lent_mistake(int which, LentOutcome* result, int* kept);
void lent_compute();
void lent_send();
}

namespace deisa::testing {
namespace {

template <typename T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// What fill of lent.f90 computes, in the order that NumPy has: the last index fastest.
std::string filled(int64_t step) {
  std::string bytes;
  for (int i = 1; i <= 4; ++i) {
    for (int j = 1; j <= 3; ++j) append(bytes, static_cast<double>(1000 * step + 100 * i + j));
  }
  return bytes;
}

// The elements 0, 1, 2, ... of lent_kinds.
std::string numbered(const std::string& dtype, int count) {
  std::string bytes;
  for (int k = 0; k < count; ++k) {
    if (dtype == "int8") append(bytes, static_cast<int8_t>(k));
    if (dtype == "int16") append(bytes, static_cast<int16_t>(k));
    if (dtype == "int32") append(bytes, static_cast<int32_t>(k));
    if (dtype == "int64") append(bytes, static_cast<int64_t>(k));
    if (dtype == "float32") append(bytes, static_cast<float>(k));
    if (dtype == "complex64") {
      append(bytes, std::complex<float>(static_cast<float>(k), static_cast<float>(-k)));
    }
    if (dtype == "complex128") append(bytes, std::complex<double>(k, -k));
  }
  return bytes;
}

class FortranLentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    lent_start();
  }
  void TearDown() override {
    lent_finish();
    set_node("", nullptr);
  }
  static int64_t bytes_copied() {
    int64_t bytes = -1;
    lent_bytes_copied(&bytes);
    return bytes;
  }
  static void expect_mistake(int which, int stat, const std::string& message) {
    LentOutcome result = {};
    int kept = 0;
    lent_mistake(which, &result, &kept);
    EXPECT_EQ(result.stat, stat) << which << ": " << result.message;
    EXPECT_TRUE(contains(result.message, message)) << which;
    EXPECT_EQ(kept, 1) << which << ": the pointer";
  }

  FakeNode node;
};

TEST_F(FortranLentTest, WhatIsComputedThereArrivesWithoutACopy) {
  int wrong = -1;
  lent_steps(&wrong);
  EXPECT_EQ(wrong, 0);
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 6u);
  for (size_t step = 0; step < 6; ++step) {
    EXPECT_EQ(chunks[step].bytes, filled(static_cast<int64_t>(step))) << step;
  }
  EXPECT_EQ(bytes_copied(), 0);
}

TEST_F(FortranLentTest, EveryTypeAndRank) {
  lent_kinds();
  const std::map<std::string, int> counts = {{"c", 24}, {"k1", 5},  {"k2", 8}, {"k4", 24},
                                             {"k8", 6}, {"r4", 48}, {"z", 16}};
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), counts.size());
  for (const FakeNode::Chunk& chunk : chunks) {
    const auto array = nlohmann::json::parse(node.definition(0, chunk.array));
    const std::string name = array.at("name");
    EXPECT_EQ(chunk.bytes, numbered(array.at("dtype"), counts.at(name))) << name;
  }
  EXPECT_EQ(bytes_copied(), 0);
}

TEST_F(FortranLentTest, MistakesAreNamedAndNothingIsLost) {
  lent_compute();
  expect_mistake(1, -2,
                 "rank 0: contract violation: array 't': memory for float32 in 2 dimensions");
  expect_mistake(1, -2, "expected float64 in 2, as it was defined");
  expect_mistake(2, -2, "float64 in 1 dimensions was asked for: expected float64 in 2");
  expect_mistake(3, -2, "unknown array 'no'");
  expect_mistake(4, -7, "was defined with a layout of its own");
  expect_mistake(5, -2, "the bridge is not open");
  expect_mistake(6, -1, "the buffer of array 't' is not the one that");
  expect_mistake(7, -1, "the buffer of array 't' is not the one that");
  expect_mistake(8, -1, "part of the lent buffer: dimension 2 has 2 elements, expected all 3");
  expect_mistake(9, -1, "part of the lent buffer: dimension 1 has 2 elements and another stride");
  expect_mistake(10, -1, "part of the lent buffer: dimension 2 has 2 elements and another stride");
  expect_mistake(11, -2, "outside");
  expect_mistake(12, -2, "memory for float32 in 2 dimensions was asked for: expected float64 in 2");
  expect_mistake(13, -1, "the buffer of array 't' is not the one that");
  lent_send();
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].bytes, filled(7));
}

TEST(FortranLentDisabledTest, ComputesTheSame) {
  ::setenv("DEISA_DISABLE", "1", 1);
  lent_start();
  int wrong = -1;
  lent_steps(&wrong);
  EXPECT_EQ(wrong, 0);
  lent_kinds();
  LentOutcome result = {};
  int kept = 0;
  lent_mistake(1, &result, &kept);
  EXPECT_EQ(result.stat, -2) << "there is nothing that the pointer could be at";
  EXPECT_TRUE(contains(result.message, "array 't': it was not defined, or not with the type"));
  lent_mistake(6, &result, &kept);
  EXPECT_EQ(result.stat, 0);
  EXPECT_EQ(kept, 1);
  lent_finish();
  ::unsetenv("DEISA_DISABLE");
}

}  // namespace
}  // namespace deisa::testing
