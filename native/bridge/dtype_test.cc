// Arrays that are defined without a dtype: the first chunk brings it.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <vector>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

namespace deisa::testing {
namespace {

const int64_t kShape[] = {2, 3};
constexpr const char* kArrays =
    R"({"t": {"chunk_shape": [2, 3], "global_shape": [2, 3], "chunk_position": [0, 0], "dtype": null},
        "u": {"chunk_shape": [2, 3], "global_shape": [2, 3], "chunk_position": [0, 0], "dtype": "int8"}})";

class DtypeTest : public ::testing::Test {
 protected:
  void SetUp() override { set_node("", &node); }
  void start() {
    rank.options.error_mode = DEISA_ERRORS_RETURN;
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(deisa_define_json(rank.bridge, kArrays, &rank.error), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  }
  deisa_status send(deisa_dtype dtype, int64_t timestep) {
    const deisa_source source = memory_at(data.data(), dtype, 2, kShape, nullptr);
    return send_from(rank.bridge, "t", source, timestep, nullptr, &rank.error);
  }
  nlohmann::json definition() { return nlohmann::json::parse(node.definition(0, 1)); }

  FakeNode node;
  Rank rank;
  const std::vector<char> data = std::vector<char>(6 * 16, 'x');
};

TEST_F(DtypeTest, TheFirstChunkBringsIt) {
  start();
  EXPECT_TRUE(definition().at("dtype").is_null());
  ASSERT_EQ(send(DEISA_FLOAT32, 0), DEISA_OK) << rank.message();
  EXPECT_EQ(definition().at("dtype"), "float32");
  ASSERT_EQ(send(DEISA_FLOAT32, 1), DEISA_OK) << rank.message();
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK) << rank.message();
  EXPECT_EQ(node.chunks().at(1).bytes.size(), 24u);
  EXPECT_EQ(send(DEISA_FLOAT64, 2), DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "expected float32"));
  deisa_statistics now = DEISA_STATISTICS_INIT;
  ASSERT_EQ(deisa_get_statistics(rank.bridge, &now, &rank.error), DEISA_OK);
  EXPECT_EQ(now.bytes_sent, 48);
  // From now on memory need not be described, and there is a loan.
  EXPECT_EQ(deisa_send(rank.bridge, "t", data.data(), 3, &rank.error), DEISA_OK) << rank.message();
  void* loan = nullptr;
  deisa_layout layout = DEISA_LAYOUT_INIT;
  ASSERT_EQ(deisa_loan(rank.bridge, "t", &loan, &layout, &rank.error), DEISA_OK);
  EXPECT_EQ(layout.dtype, DEISA_FLOAT32);
}

TEST_F(DtypeTest, TheLargestOneFits) {
  start();
  ASSERT_EQ(rank.begin(0), DEISA_OK);
  ASSERT_EQ(put_from(rank.bridge, "t", memory_at(data.data(), DEISA_COMPLEX128, 2, kShape, nullptr),
                     &rank.error),
            DEISA_OK)
      << rank.message();
  ASSERT_EQ(rank.end(), DEISA_OK);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK) << rank.message();
  EXPECT_EQ(node.chunks().at(0).bytes, std::string(96, 'x'));
}

TEST_F(DtypeTest, UntilThenMemoryMustBeDescribed) {
  start();
  EXPECT_EQ(deisa_send(rank.bridge, "t", data.data(), 0, &rank.error), DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "without a dtype"));
  void* loan = nullptr;
  EXPECT_EQ(deisa_loan(rank.bridge, "t", &loan, nullptr, &rank.error), DEISA_ERROR_CONTRACT);
  EXPECT_EQ(send(static_cast<deisa_dtype>(15), 0), DEISA_ERROR_CONTRACT);
  EXPECT_EQ(send(DEISA_INT64, 0), DEISA_OK) << rank.message();
}

TEST_F(DtypeTest, AnotherRanksIsRefusedAndCanBeMended) {
  node.refused_dtype = "float32";
  start();
  EXPECT_EQ(send(DEISA_FLOAT32, 0), DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "another rank has another dtype"));
  EXPECT_EQ(send(DEISA_FLOAT64, 0), DEISA_OK) << rank.message();
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK) << rank.message();
  EXPECT_EQ(node.chunks().at(0).bytes.size(), 48u);
}

TEST_F(DtypeTest, TheFileBackendWritesIt) {
  const std::string folder = ::testing::TempDir() + "deisa-dtype-test";
  std::filesystem::remove_all(folder);
  ::setenv("DEISA_BACKEND", "file", 1);
  ::setenv("DEISA_FILE_FOLDER", folder.c_str(), 1);
  start();
  EXPECT_EQ(send(DEISA_INT16, 0), DEISA_OK) << rank.message();
  ::unsetenv("DEISA_BACKEND");
  ::unsetenv("DEISA_FILE_FOLDER");
  std::ifstream file(folder + "/t/000000000.npy", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  EXPECT_TRUE(contains(text, "<i2"));
  EXPECT_EQ(text.substr(text.size() - 12), std::string(12, 'x'));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace deisa::testing
