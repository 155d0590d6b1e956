// DEISA_BACKEND=null and file: the whole interface without Ray or a node actor.
#include <gtest/gtest.h>
#include <unistd.h>

#include <complex>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <thread>

#include "base/testing/other_locale.hpp"
#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"
#include "bridge/testing/thread_communicator.hpp"

namespace deisa::testing {
namespace {

namespace fs = std::filesystem;

class BackendsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", nullptr);
    char name[] = "/tmp/deisa-backends-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder = std::string(name) + "/files";
    ::setenv("DEISA_FILE_FOLDER", folder.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("DEISA_BACKEND");
    ::unsetenv("DEISA_FILE_FOLDER");
    fs::remove_all(fs::path(folder).parent_path());
  }
  static void choose(const char* backend) { ::setenv("DEISA_BACKEND", backend, 1); }

  static void run(int ranks, const std::function<void(Rank&, int)>& program) {
    ThreadWorld world(ranks);
    std::vector<std::thread> threads;
    for (int r = 0; r < ranks; ++r) {
      threads.emplace_back([&world, &program, r] {
        Rank rank;
        const deisa_communicator table = world.table(r);
        rank.options.communicator = &table;
        rank.options.error_mode = DEISA_ERRORS_RAISE;
        rank.options.comm_timeout = 20;
        ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
        program(rank, r);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  static std::string read(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file.good()) << path;
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  // All files below the folder, relative to it.
  std::set<std::string> files() const {
    std::set<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file()) found.insert(fs::relative(entry.path(), folder).string());
    }
    return found;
  }
  static deisa_bridge_status status(Rank& rank) {
    deisa_bridge_status out = {};
    out.struct_size = sizeof(out);
    EXPECT_EQ(deisa_get_status(rank.bridge, &out, &rank.error), DEISA_OK);
    return out;
  }

  std::string folder;
};

// Everything that a rank can do; the same with both.
void whole_interface(Rank& rank, int r, int ranks) {
  ASSERT_EQ(rank.define("t", r, ranks), DEISA_OK);
  ASSERT_EQ(rank.define("u", r, ranks), DEISA_OK);
  ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  ASSERT_EQ(rank.send("t", r, 0), DEISA_OK) << rank.message();
  EXPECT_EQ(rank.send("t", r, 0), DEISA_ERROR_CONTRACT);
  EXPECT_EQ(rank.send("nope", r, 0), DEISA_ERROR_CONTRACT);
  const auto data = Rank::values(r);
  deisa_request request = 0;
  ASSERT_EQ(deisa_send_async(rank.bridge, "t", data.data(), 1, &request, &rank.error), DEISA_OK);
  EXPECT_EQ(deisa_test(rank.bridge, &request, &rank.error), DEISA_OK);
  EXPECT_EQ(request, 0u);
  ASSERT_EQ(rank.begin(2), DEISA_OK);
  ASSERT_EQ(rank.put("t", r), DEISA_OK);
  void* buffer = nullptr;
  ASSERT_EQ(deisa_allocate(rank.bridge, "u", &buffer, &rank.error), DEISA_OK);
  std::memcpy(buffer, data.data(), sizeof(data));
  ASSERT_EQ(deisa_put_allocated(rank.bridge, "u", &buffer, &rank.error), DEISA_OK);
  ArrowArray array;
  ArrowSchema schema;
  ASSERT_EQ(deisa_export_step(rank.bridge, &array, &schema, &rank.error), DEISA_OK);
  EXPECT_EQ(array.n_children, 2);
  array.release(&array);
  schema.release(&schema);
  ASSERT_EQ(rank.end(), DEISA_OK) << rank.message();
  double value = 4.5;
  for (const int flags : {0, DEISA_COLLECTIVE}) {
    EXPECT_EQ(deisa_get_double(rank.bridge, "x", DEISA_LATEST, flags, &value, &rank.error),
              DEISA_NOT_FOUND);
  }
  EXPECT_EQ(value, 4.5) << "the default";
  EXPECT_EQ(deisa_delete(rank.bridge, "x", &rank.error), DEISA_OK);
  EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  deisa_bridge_status now = {};
  now.struct_size = sizeof(now);
  ASSERT_EQ(deisa_get_status(rank.bridge, &now, &rank.error), DEISA_OK);
  EXPECT_EQ(now.chunks_sent, 4);
  EXPECT_EQ(now.chunks_announced, 4);
  EXPECT_EQ(now.steps_sent, 3);
  EXPECT_EQ(now.bytes_sent, 4 * 48);
  EXPECT_EQ(now.bytes_copied, 3 * 48) << "the lent buffer is not copied";
  ASSERT_EQ(rank.close(3), DEISA_OK) << rank.message();
}

TEST_F(BackendsTest, Null) {
  choose("null");
  run(3, [](Rank& rank, int r) { whole_interface(rank, r, 3); });
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(BackendsTest, NullChecksWhatTheRanksAgreeAbout) {
  choose("null");
  run(2, [](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", 0, 2, r == 0 ? DEISA_FLOAT64 : DEISA_INT64), DEISA_OK);
    EXPECT_EQ(rank.ready(), DEISA_ERROR_CONTRACT);
    EXPECT_TRUE(contains(rank.message(), "dtype = int64 on rank 1"));
  });
}

TEST_F(BackendsTest, File) {
  choose("file");
  run(3, [](Rank& rank, int r) { whole_interface(rank, r, 3); });
  EXPECT_EQ(files(),
            (std::set<std::string>{"closed", "deisa.json", "t/000000000.npy", "t/000000001.npy",
                                   "t/000000002.npy", "u/000000002.npy"}));
  EXPECT_EQ(read(folder + "/closed"), "3\n");
  // Rank r's chunk of shape (2, 3) has r, r + 1, ...; the chunks are side by side.
  std::vector<double> expected;
  for (int row = 0; row < 2; ++row) {
    for (int r = 0; r < 3; ++r) {
      for (int column = 0; column < 3; ++column) expected.push_back(r + 3 * row + column);
    }
  }
  const std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,9,), }";
  for (const char* name : {"/t/000000000.npy", "/u/000000002.npy"}) {
    const std::string file = read(folder + name);
    EXPECT_EQ(file.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
    EXPECT_EQ(file.substr(10, header.size()), header);
    ASSERT_EQ(file.size(), 128 + expected.size() * sizeof(double));
    EXPECT_EQ(std::memcmp(file.data() + 128, expected.data(), expected.size() * sizeof(double)), 0);
  }
}

// 5 x 7 x 2 points over 2 x 3 x 1 chunks: every row of a chunk lands in its place.
TEST_F(BackendsTest, FileOfAnUnevenGrid) {
  choose("file");
  const int64_t rows[] = {3, 2}, columns[] = {2, 4, 1}, row_start[] = {0, 3},
                column_start[] = {0, 2, 6};
  run(6, [&](Rank& rank, int r) {
    const int64_t i = r / 3, j = r % 3;
    const int64_t shape[] = {rows[i], columns[j], 2}, grid[] = {2, 3, 1}, at[] = {i, j, 0};
    deisa_layout layout = DEISA_LAYOUT_INIT;
    layout.dtype = DEISA_INT32;
    layout.ndim = 3;
    layout.chunk_shape = shape;
    layout.nb_chunks_per_dim = grid;
    layout.chunk_position = at;
    ASSERT_EQ(deisa_define(rank.bridge, "a", &layout, &rank.error), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    std::vector<int32_t> chunk;
    for (int64_t x = 0; x < rows[i]; ++x) {
      for (int64_t y = 0; y < columns[j]; ++y) {
        for (int64_t z = 0; z < 2; ++z) {
          chunk.push_back(
              static_cast<int32_t>(((row_start[i] + x) * 7 + column_start[j] + y) * 2 + z));
        }
      }
    }
    ASSERT_EQ(deisa_send(rank.bridge, "a", chunk.data(), -5, &rank.error), DEISA_OK)
        << rank.message();
    EXPECT_EQ(rank.close(0), DEISA_OK) << rank.message();
  });
  const std::string file = read(folder + "/a/-00000005.npy");
  ASSERT_EQ(file.size(), 128 + 70 * sizeof(int32_t));
  for (int32_t value = 0; value < 70; ++value) {
    int32_t found = -1;
    std::memcpy(&found, file.data() + 128 + static_cast<size_t>(value) * sizeof(found),
                sizeof(found));
    ASSERT_EQ(found, value);
  }
}

TEST_F(BackendsTest, AFileWithoutAllItsChunksSaysWhoWrote) {
  choose("file");
  run(3, [](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, 3), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    if (r != 1) {
      EXPECT_EQ(rank.send("t", r, 0), DEISA_OK) << rank.message();
    }
    EXPECT_EQ(rank.close(1), DEISA_OK);
  });
  EXPECT_EQ(files(), (std::set<std::string>{"closed", "deisa.json", "t/000000000.npy.part",
                                            "t/000000000.npy.ranks"}));
  const std::string ranks = read(folder + "/t/000000000.npy.ranks");
  EXPECT_TRUE(ranks == "0\n2\n" || ranks == "2\n0\n") << ranks;
}

TEST_F(BackendsTest, AFolderThatHoldsSomethingIsRefusedByAll) {
  choose("file");
  fs::create_directories(folder);
  std::ofstream(folder + "/mine") << "precious";
  run(2, [](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, 2), DEISA_OK);
    EXPECT_EQ(rank.ready(), DEISA_ERROR_ARGUMENT);
    EXPECT_TRUE(contains(rank.message(), "it holds something: expected a folder that is empty"));
    EXPECT_EQ(rank.error.rank, 0);
  });
  EXPECT_EQ(files(), std::set<std::string>{"mine"});
}

TEST_F(BackendsTest, AFolderThatCannotBeMadeIsRefused) {
  choose("file");
  std::ofstream(fs::path(folder).parent_path() / "file") << "";
  ::setenv("DEISA_FILE_FOLDER", (fs::path(folder).parent_path() / "file" / "below").c_str(), 1);
  run(1, [](Rank& rank, int) {
    EXPECT_EQ(rank.ready(), DEISA_ERROR_RESOURCE);
    EXPECT_TRUE(contains(rank.message(), "cannot make the folder"));
  });
}

TEST_F(BackendsTest, AWriteThatFailsIsAnErrorOfTheSend) {
  choose("file");
  run(1, [this](Rank& rank, int) {
    ASSERT_EQ(rank.define("t"), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    fs::remove_all(folder);
    EXPECT_EQ(rank.send("t", 1.0, 4), DEISA_ERROR_RESOURCE);
    EXPECT_TRUE(contains(rank.message(), "cannot make " + folder + "/t/000000004.npy.part"));
    EXPECT_STREQ(rank.error.array, "t");
    EXPECT_EQ(rank.error.timestep, 4);
    EXPECT_EQ(status(rank).chunks_failed, 1);
    fs::create_directories(folder + "/t");
    EXPECT_EQ(rank.send("t", 1.0, 5), DEISA_OK) << "the simulation may go on: " << rank.message();
    EXPECT_EQ(rank.close(6), DEISA_OK);
  });
}

TEST_F(BackendsTest, NamesThatAreNoFileNames) {
  choose("file");
  run(1, [](Rank& rank, int) {
    for (const char* name : {"../up", "a b", ".hidden",
                             "Dr\xc3\xbc"
                             "ck"}) {
      ASSERT_EQ(rank.define(name), DEISA_OK) << rank.message();
    }
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    EXPECT_EQ(rank.send("../up", 1.0, 0), DEISA_OK);
    EXPECT_EQ(rank.close(1), DEISA_OK);
  });
  for (const char* name : {"%2E.%2Fup", "a%20b", "%2Ehidden",
                           "Dr\xc3\xbc"
                           "ck"}) {
    EXPECT_TRUE(fs::is_directory(folder + "/" + name)) << name;
  }
}

TEST_F(BackendsTest, NumbersAreWrittenWhateverTheLocale) {
  choose("file");
  ::setenv("DEISA_STATUS", "1", 1);
  const OtherLocale locale("de_DE");
  ASSERT_TRUE(locale.is_there());
  ::testing::internal::CaptureStderr();
  run(1, [](Rank& rank, int) {
    ASSERT_EQ(rank.define("t"), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    EXPECT_EQ(rank.send("t", 1.0, 1234567), DEISA_OK) << rank.message();
    EXPECT_EQ(rank.close(1234568), DEISA_OK) << rank.message();
  });
  EXPECT_TRUE(contains(::testing::internal::GetCapturedStderr(), "0.0 MiB sent, 0.0 MiB copied"));
  ::unsetenv("DEISA_STATUS");
  EXPECT_EQ(files(), (std::set<std::string>{"closed", "deisa.json", "t/001234567.npy"}));
  EXPECT_EQ(read(folder + "/closed"), "1234568\n");
}

TEST_F(BackendsTest, RankZeroWarnsOnceOfAVariableThatNobodyReads) {
  choose("null");
  ::setenv("DEISA_MAX_INFLIGHT", "4", 1);
  ::testing::internal::CaptureStderr();
  for (int time = 0; time < 2; ++time) {
    run(3, [](Rank&, int) {});
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "deisa: the environment variable DEISA_MAX_INFLIGHT has no effect: there is no such "
            "setting. Did you mean DEISA_MAX_IN_FLIGHT?\n");
  ::unsetenv("DEISA_MAX_INFLIGHT");
}

TEST_F(BackendsTest, ASwitchThatIsNeitherOnNorOffIsRefused) {
  ::setenv("DEISA_DISABLE", "banana", 1);
  Rank rank;
  EXPECT_EQ(rank.open(), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "DEISA_DISABLE = 'banana' (from DEISA_DISABLE): expected"));
  ::unsetenv("DEISA_DISABLE");
}

TEST_F(BackendsTest, UnknownBackend) {
  choose("files");
  Rank rank;
  EXPECT_EQ(rank.open(), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(),
                       "backend = 'files' (from DEISA_BACKEND): expected one of ray null file"));
}

}  // namespace
}  // namespace deisa::testing
