// The Fortran module against a node actor that the test plays: cases.f90 and kinds.f90 send, and
// the bytes that arrive are compared here.
#include <algorithm>
#include <complex>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

extern "C" {
struct Outcome {
  int stat;
  char message[1024];
};
void case_start();
void case_finish();
void case_flush();
void case_abandon();
void case_ghost_cells();
void case_pointer();
void case_components();
void case_backwards();
void case_temporaries();
void case_dummies();
void case_step();
void case_bytes_copied(int64_t* bytes, int64_t* chunks);
void case_mistake(int which, Outcome* result);
void case_definitions(Outcome* result);
void case_feedback(Outcome* result);
void case_send_all();
void case_lost_text(Outcome* result);
int case_wide();
}

namespace deisa::testing {
namespace {

using nlohmann::json;

constexpr int64_t kRows = 4, kColumns = 3;

// value(i, j) of cases.f90, in the order that NumPy has: the last index fastest.
std::string expected_chunk() {
  std::string bytes;
  for (int64_t i = 1; i <= kRows; ++i) {
    for (int64_t j = 1; j <= kColumns; ++j) {
      const double value = static_cast<double>(100 * i + j) + 0.25;
      bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
  }
  return bytes;
}

class FortranTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    case_start();
  }
  void TearDown() override {
    case_finish();
    set_node("", nullptr);
  }
  void expect_chunk(int64_t timestep) {
    const auto chunks = node.chunks();
    for (const FakeNode::Chunk& chunk : chunks) {
      if (chunk.timestep == timestep) {
        EXPECT_EQ(chunk.bytes, expected_chunk()) << "timestep " << timestep;
        return;
      }
    }
    ADD_FAILURE() << "no chunk of timestep " << timestep;
  }
  void expect_mistake(int which, int stat, const std::string& message) {
    Outcome result = {};
    case_mistake(which, &result);
    EXPECT_EQ(result.stat, stat) << which << ": " << result.message;
    EXPECT_TRUE(contains(result.message, message)) << which;
  }

  FakeNode node;
};

TEST_F(FortranTest, SectionsArriveWithTheirIndices) {
  case_ghost_cells();
  case_pointer();
  case_components();
  case_backwards();
  case_temporaries();
  case_dummies();
  case_flush();
  for (int64_t timestep = 1; timestep <= 9; ++timestep) expect_chunk(timestep);
}

TEST_F(FortranTest, EachSendIsOneCopyOfTheChunk) {
  int64_t bytes = 0, chunks = 0;
  const std::vector<std::function<void()>> sends = {case_ghost_cells, case_pointer, case_components,
                                                    case_backwards};
  for (size_t n = 0; n < sends.size(); ++n) {
    sends[n]();
    case_bytes_copied(&bytes, &chunks);
    EXPECT_EQ(chunks, static_cast<int64_t>(n + 1));
    EXPECT_EQ(bytes, static_cast<int64_t>((n + 1) * expected_chunk().size()));
  }
}

TEST_F(FortranTest, AStepOfSeveralKinds) {
  case_step();
  case_flush();
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 4u);
  std::string z, mask;
  for (int i = 1; i <= 2; ++i) {
    for (int j = 1; j <= 3; ++j) {
      for (const int k : {4, 2}) {
        const std::complex<double> value(100 * i + 10 * j + k, -k);
        z.append(reinterpret_cast<const char*>(&value), sizeof(value));
      }
    }
  }
  for (int i = 1; i <= kRows; ++i) {
    for (int j = 1; j <= kColumns; ++j) mask.push_back((i + 2 * j) % 3 == 0 ? '\1' : '\0');
  }
  const int32_t scalar = 42;
  EXPECT_EQ(chunks[0].bytes, z);
  EXPECT_EQ(chunks[1].bytes, mask) << "every pattern of .true. is 1";
  EXPECT_EQ(chunks[2].bytes, std::string(reinterpret_cast<const char*>(&scalar), sizeof(scalar)));
  EXPECT_EQ(chunks[3].bytes, mask) << "logical(c_bool)";
  EXPECT_EQ(chunks[0].timestep, 10);
  EXPECT_EQ(chunks[3].timestep, 11);
  EXPECT_EQ(node.log().at(1), "STEP 0 t=10 n=3 last");
}

TEST_F(FortranTest, MistakesAreNamed) {
  const std::string expected = "expected float64, shape (4, 3)";
  expect_mistake(1, -2, "rank 0: contract violation: array 't': a chunk of float64, shape (3, 3)");
  expect_mistake(1, -2, expected);
  expect_mistake(2, -2, "shape (3, 4), was given: " + expected);
  expect_mistake(3, -2, "a chunk of float32, shape (4, 3), was given: " + expected);
  expect_mistake(4, -2, "shape (4), was given: " + expected);
  expect_mistake(5, -2, "shape (1), was given: " + expected);
  expect_mistake(6, -2, "shape (4, 0), was given: " + expected);
  expect_mistake(7, -2, "not associated");
  expect_mistake(8, -2, "unknown array 'u'");
  expect_mistake(9, -2, "put of 't' outside a step");
  expect_mistake(10, -2, "the bridge is not open");
  expect_mistake(11, -2, "open of a bridge that is open");
  expect_mistake(12, -1, "bridge_id = 3");
  expect_mistake(13, -2, "after deisa_ready");
  case_ghost_cells();
  expect_mistake(14, -2, "close with timestep 0");
  expect_mistake(15, 0, "");
  expect_mistake(16, -2, "rank 0: contract vio");  // what fits into errmsg
}

TEST_F(FortranTest, OptionsOfBackPressureAreHandedOn) {
  Outcome result = {};
  case_mistake(18, &result);
  EXPECT_EQ(result.stat, -1);
  for (const char* part : {"when_full = 7", "block_timeout = -3", "store_threshold = 1.5",
                           "max_ahead = -1", "window = -2"}) {
    EXPECT_TRUE(contains(result.message, part));
  }
}

TEST_F(FortranTest, AnMpiCommunicatorNeedsMpi) {
  // MPI is not initialised; or there is no libdeisa_mpi.so, if it is not built.
  Outcome result = {};
  case_mistake(17, &result);
  EXPECT_LT(result.stat, 0);
  EXPECT_TRUE(contains(result.message, "MPI"));
}

TEST_F(FortranTest, DefinitionsAreCheckedTogether) {
  Outcome result = {};
  case_definitions(&result);
  EXPECT_EQ(result.stat, -1);
  for (const char* part : {"array 'a \"b\" \\ c\n'", "dtype = 99: expected one of bool",
                           "chunk_position = [0]: expected as many entries",
                           "global_shape = [8]: expected as many entries"}) {
    EXPECT_TRUE(contains(result.message, part));
  }
}

TEST_F(FortranTest, Feedback) {
  const auto set = [&](const char* key, const json& value) {
    std::string packed;
    json::to_msgpack(value, packed);
    node.set_value(key, packed);
  };
  set("gain", 2.5);
  set("gain@7", 2.5);
  set("count", 12);
  set("large", int64_t{1} << 40);
  set("large@7", int64_t{1} << 40);
  set("on", true);
  set("text", std::string(300, 'x') + "y");
  Outcome result = {};
  case_feedback(&result);
  EXPECT_EQ(result.stat, DEISA_NOT_FOUND);
  const std::string line = result.message;
  EXPECT_EQ(line.substr(0, line.find(" default") + 8),
            "2.500 2.500 12 1099511627776 T TTTTTF 2 -1 -1 -1 xxxxx 301 default");
  EXPECT_TRUE(contains(line, "no feedback value 'gain'"));
}

// An errmsg that is not allocated is none for a procedure: the text is not lost all the same.
TEST_F(FortranTest, ATextThatHasNoPlaceGoesToTheErrorOutput) {
  Outcome result = {};
  ::testing::internal::CaptureStderr();
  case_lost_text(&result);
  const std::string printed = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(result.stat, DEISA_ERROR_CONTRACT);
  EXPECT_STREQ(result.message, "not allocated");
  EXPECT_EQ(printed.rfind("deisa: rank 0: contract violation: unknown array 'u'", 0), 0u)
      << printed;
  EXPECT_EQ(std::count(printed.begin(), printed.end(), '\n'), 1) << "once";
}

TEST(FortranWideTest, DefaultIntegersOf64Bits) {
  FakeNode node;
  set_node("", &node);
  std::string packed;
  json::to_msgpack(2.5, packed);
  node.set_value("gain", packed);
  packed.clear();
  json::to_msgpack(12, packed);
  node.set_value("count", packed);
  packed.clear();
  json::to_msgpack(true, packed);
  node.set_value("on@1", packed);
  EXPECT_EQ(case_wide(), 0) << "calls that did not do what they should";
  set_node("", nullptr);
}

TEST_F(FortranTest, AbandonLeaves) {
  case_abandon();
  while (!contains(node.log().back(), "BYE")) std::this_thread::yield();
  EXPECT_EQ(node.log().back(), "BYE 0 abandoned");
}

// The element that kinds.f90 numbers `k`, as NumPy's bytes.
template <typename T>
std::string bytes_of(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::string element(const std::string& dtype, int k) {
  if (dtype == "bool") return bytes_of<bool>(k % 3 == 0);
  if (dtype == "int8") return bytes_of(static_cast<int8_t>(k - 100));
  if (dtype == "int16") return bytes_of(static_cast<int16_t>(k - 100));
  if (dtype == "int32") return bytes_of(static_cast<int32_t>(k - 100));
  if (dtype == "int64") return bytes_of(static_cast<int64_t>(k - 100));
  if (dtype == "float32") return bytes_of(static_cast<float>(k) + 0.5f);
  if (dtype == "float64") return bytes_of(static_cast<double>(k) + 0.5);
  if (dtype == "complex64")
    return bytes_of(std::complex<float>(static_cast<float>(k), -static_cast<float>(k)));
  return bytes_of(std::complex<double>(k, -k));
}

// A section (2:, :, :, ...) of an array of shape (3, 2, 2, ...), numbered in Fortran's order
// from 1.
std::string expected_kind(const std::string& dtype, size_t rank) {
  if (rank == 0) return element(dtype, 5);
  std::string bytes;
  for (size_t n = 0; n < (size_t{1} << rank); ++n) {
    int k = 2 + static_cast<int>(n >> (rank - 1) & 1u);
    int stride = 3;
    for (size_t d = 1; d < rank; ++d) {
      k += stride * static_cast<int>(n >> (rank - 1 - d) & 1u);
      stride *= 2;
    }
    bytes += element(dtype, k);
  }
  return bytes;
}

TEST(FortranKindsTest, EveryKindInEveryRank) {
  FakeNode node;
  set_node("", &node);
  case_send_all();
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 2u * 12 * 8);
  std::map<std::string, int> seen;
  for (const FakeNode::Chunk& chunk : chunks) {
    const json array = json::parse(node.definition(0, chunk.array));
    const std::string name = array.at("name");
    const size_t rank = static_cast<size_t>(name.back() - '0');
    EXPECT_EQ(chunk.bytes, expected_kind(array.at("dtype"), rank))
        << name << ", timestep " << chunk.timestep;
    ++seen[name];
  }
  EXPECT_EQ(seen.size(), 12u * 8);
}

}  // namespace
}  // namespace deisa::testing
