// Fortran pointers at loan memory, against a node actor that the test plays: loan.f90 computes
// there, and the bytes that arrive are compared here.
#include <complex>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

extern "C" {
struct LoanOutcome {
  int stat;
  char message[1024];
};
void loan_start();
void loan_finish();
void loan_bytes_copied(int64_t* bytes);
void loan_steps(int* wrong);
void loan_kinds();
void loan_mistake(int which, LoanOutcome* result, int* kept);
void loan_compute();
void loan_send();
}

namespace deisa::testing {
namespace {

template <typename T>
void append(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// What fill of loan.f90 computes, in the order that NumPy has: the last index fastest.
std::string filled(int64_t step) {
  std::string bytes;
  for (int i = 1; i <= 4; ++i) {
    for (int j = 1; j <= 3; ++j) append(bytes, static_cast<double>(1000 * step + 100 * i + j));
  }
  return bytes;
}

// The elements 0, 1, 2, ... of loan_kinds.
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

class FortranLoanTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    loan_start();
  }
  void TearDown() override {
    loan_finish();
    set_node("", nullptr);
  }
  static int64_t bytes_copied() {
    int64_t bytes = -1;
    loan_bytes_copied(&bytes);
    return bytes;
  }
  static void expect_mistake(int which, int stat, const std::string& message) {
    LoanOutcome result = {};
    int kept = 0;
    loan_mistake(which, &result, &kept);
    EXPECT_EQ(result.stat, stat) << which << ": " << result.message;
    EXPECT_TRUE(contains(result.message, message)) << which;
    EXPECT_EQ(kept, 1) << which << ": the pointer";
  }

  FakeNode node;
};

TEST_F(FortranLoanTest, WhatIsComputedThereArrivesWithoutACopy) {
  int wrong = -1;
  loan_steps(&wrong);
  EXPECT_EQ(wrong, 0);
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 6u);
  for (size_t step = 0; step < 6; ++step) {
    EXPECT_EQ(chunks[step].bytes, filled(static_cast<int64_t>(step))) << step;
  }
  EXPECT_EQ(bytes_copied(), 0);
}

TEST_F(FortranLoanTest, EveryTypeAndRank) {
  loan_kinds();
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

TEST_F(FortranLoanTest, MistakesAreNamedAndNothingIsLost) {
  loan_compute();
  expect_mistake(
      1, -2,
      "contract violation: array 't': the pointer has rank 2 and elements of another type: "
      "expected rank 2, and the type");
  expect_mistake(2, -2, "the pointer has rank 1: expected rank 2");
  expect_mistake(3, -2, "unknown array 'no'");
  expect_mistake(4, -7, "was defined with a layout of its own");
  expect_mistake(5, -2, "the bridge is not open");
  expect_mistake(6, -1, "the loan of array 't' is not the memory that");
  expect_mistake(7, -1, "the loan of array 't' is not the memory that");
  expect_mistake(8, -1, "part of the loan: dimension 2 has 2 elements, expected all 3");
  expect_mistake(9, -1, "part of the loan: dimension 1 has 2 elements and another stride");
  expect_mistake(10, -1, "part of the loan: dimension 2 has 2 elements and another stride");
  expect_mistake(11, -2, "outside");
  expect_mistake(12, -2, "elements of another type: expected rank 2");
  expect_mistake(13, -1, "the loan of array 't' is not the memory that");
  loan_send();
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].bytes, filled(7));
}

TEST(FortranLoanDisabledTest, ComputesTheSame) {
  ::setenv("DEISA_DISABLE", "1", 1);
  loan_start();
  int wrong = -1;
  loan_steps(&wrong);
  EXPECT_EQ(wrong, 0);
  loan_kinds();
  LoanOutcome result = {};
  int kept = 0;
  loan_mistake(1, &result, &kept);
  EXPECT_EQ(result.stat, -2) << "there is nothing that the pointer could be at";
  EXPECT_TRUE(contains(result.message, "elements of another type"));
  loan_mistake(6, &result, &kept);
  EXPECT_EQ(result.stat, 0);
  EXPECT_EQ(kept, 1);
  loan_finish();
  ::unsetenv("DEISA_DISABLE");
}

}  // namespace
}  // namespace deisa::testing
