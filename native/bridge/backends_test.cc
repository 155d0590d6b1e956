// DEISA_BACKEND=null and file: the whole interface without Ray or a node actor.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <complex>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "backend/file/file_backend.hpp"
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
        rank.options.error_mode = DEISA_ERRORS_RETURN;
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
  static deisa_statistics status(Rank& rank) {
    deisa_statistics out = {};
    out.struct_size = sizeof(out);
    EXPECT_EQ(deisa_get_statistics(rank.bridge, &out, &rank.error), DEISA_OK);
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
  ASSERT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 1, &request, &rank.error),
            DEISA_OK);
  EXPECT_EQ(deisa_test(rank.bridge, &request, &rank.error), DEISA_OK);
  EXPECT_EQ(request, 0u);
  ASSERT_EQ(rank.begin(2), DEISA_OK);
  ASSERT_EQ(rank.put("t", r), DEISA_OK);
  void* buffer = nullptr;
  ASSERT_EQ(deisa_loan(rank.bridge, "u", &buffer, nullptr, &rank.error), DEISA_OK);
  std::memcpy(buffer, data.data(), sizeof(data));
  ASSERT_EQ(put_from(rank.bridge, "u", loan(&buffer), &rank.error), DEISA_OK);
  ArrowArray array;
  ArrowSchema schema;
  ASSERT_EQ(deisa_export(rank.bridge, nullptr, &array, &schema, &rank.error), DEISA_OK);
  EXPECT_EQ(array.n_children, 2);
  array.release(&array);
  schema.release(&schema);
  ASSERT_EQ(rank.end(), DEISA_OK) << rank.message();
  double value = 4.5;
  for (const bool collective : {false, true}) {
    EXPECT_EQ(deisa_get_double(rank.bridge, "x", &*testing::read(DEISA_LATEST, collective), &value,
                               &rank.error),
              DEISA_NOT_FOUND);
  }
  EXPECT_EQ(value, 4.5) << "the default";
  EXPECT_EQ(deisa_delete(rank.bridge, "x", &rank.error), DEISA_OK);
  EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  deisa_statistics now = {};
  now.struct_size = sizeof(now);
  ASSERT_EQ(deisa_get_statistics(rank.bridge, &now, &rank.error), DEISA_OK);
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

TEST_F(BackendsTest, OnlyWhatWasARequestCanBeWaitedFor) {
  choose("null");
  run(1, [](Rank& rank, int) {
    ASSERT_EQ(rank.define("t"), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    const auto data = Rank::values(1);
    deisa_request request = 0;
    EXPECT_EQ(deisa_wait(rank.bridge, &request, &rank.error), DEISA_OK) << "none";
    ASSERT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 1, &request, &rank.error),
              DEISA_OK);
    deisa_request copy = request;
    EXPECT_EQ(deisa_wait(rank.bridge, &request, &rank.error), DEISA_OK) << rank.message();
    EXPECT_EQ(request, 0u);
    EXPECT_EQ(deisa_test(rank.bridge, &copy, &rank.error), DEISA_OK) << "it is finished";
    ASSERT_EQ(rank.send("t", 1, 2), DEISA_OK) << "gives no request";
    for (const deisa_request never : {uint64_t{2}, uint64_t{12345}, UINT64_MAX}) {
      deisa_request given = never;
      EXPECT_EQ(deisa_wait(rank.bridge, &given, &rank.error), DEISA_ERROR_ARGUMENT);
      EXPECT_TRUE(contains(rank.message(),
                           "request " + std::to_string(never) + " was never given by this bridge"));
      given = never;
      EXPECT_EQ(deisa_test(rank.bridge, &given, &rank.error), DEISA_ERROR_ARGUMENT);
    }
    deisa_request dropped = 0;
    ASSERT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 3, &dropped, &rank.error),
              DEISA_OK);
    EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
    EXPECT_EQ(deisa_wait(rank.bridge, &dropped, &rank.error), DEISA_OK) << "flushed";
    EXPECT_EQ(rank.close(4), DEISA_OK);
  });
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

// 5 x 7 x 2 points over 2 x 3 x 1 chunks, given by their position or by their start: every row of a
// chunk lands in its place.
class UnevenGridTest : public BackendsTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(Keys, UnevenGridTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Start" : "Position"; });

TEST_P(UnevenGridTest, IsOneFile) {
  choose("file");
  const int64_t rows[] = {3, 2}, columns[] = {2, 4, 1}, row_start[] = {0, 3},
                column_start[] = {0, 2, 6};
  run(6, [&](Rank& rank, int r) {
    const int64_t i = r / 3, j = r % 3;
    const int64_t shape[] = {rows[i], columns[j], 2}, grid[] = {2, 3, 1}, at[] = {i, j, 0};
    const int64_t global[] = {5, 7, 2}, start[] = {row_start[i], column_start[j], 0};
    deisa_layout layout = DEISA_LAYOUT_INIT;
    layout.dtype = DEISA_INT32;
    layout.ndim = 3;
    layout.chunk_shape = shape;
    if (GetParam()) {
      layout.global_shape = global;
      layout.start = start;
    } else {
      layout.nb_chunks_per_dim = grid;
      layout.chunk_position = at;
    }
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
  run(3, [this](Rank& rank, int r) {
    ASSERT_EQ(rank.define("t", r, 3), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    if (r != 1) {
      EXPECT_EQ(rank.send("t", r, 0), DEISA_OK) << rank.message();
    }
    EXPECT_EQ(rank.close(1), r == 0 ? DEISA_ERROR_RESOURCE : DEISA_OK);
    if (r == 0) {
      EXPECT_TRUE(contains(rank.message(), "1 file(s) are not complete, the first is " + folder +
                                               "/t/000000000.npy.part, into which only rank(s) "));
      EXPECT_STREQ(rank.error.array, "t");
    }
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

TEST_F(BackendsTest, EveryNameOfAnArrayWorks) {
  choose("file");
  const std::map<std::string, std::string> folders = {
      {"../up", "%2E.%2Fup"},
      {"a b", "a%20b"},
      {".hidden", "%2Ehidden"},
      {"%2Ehidden", "%252Ehidden"},
      {"deisa.json", "%64eisa.json"},
      {"closed", "%63losed"},
      {"Dr\xc3\xbc"
       "ck",
       "Dr\xc3\xbc"
       "ck"},
      {std::string(200, 'x'), std::string(200, 'x')},
      {std::string(255, 'x'), std::string(183, 'x') + "~"},
      {std::string(254, 'x') + "y", std::string(183, 'x') + "~"},
      {std::string(255, '/'), ""},
      {std::string(251, '\n') + "\xf0\x9f\x98\x80", ""},
      {"a" + std::string(84, '\n') + "\xe2\x82\xac", ""},
      {"CON", "CON"},
      {"*", "%2A"},
      {"t/000000000.npy", "t%2F000000000.npy"},
  };
  std::set<std::string> seen;
  for (const auto& [name, expected] : folders) {
    const std::string made = array_folder(name);
    EXPECT_EQ(made.substr(0, expected.size()), expected) << name;
    EXPECT_LE(made.size(), 200u) << name;
    EXPECT_TRUE(seen.insert(made).second) << made << " is of two arrays";
  }
  run(1, [&](Rank& rank, int) {
    for (const auto& [name, expected] : folders) {
      ASSERT_EQ(rank.define(name.c_str()), DEISA_OK) << rank.message();
    }
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    for (const auto& [name, expected] : folders) {
      EXPECT_EQ(rank.send(name.c_str(), 1.0, 0), DEISA_OK) << rank.message();
    }
    EXPECT_EQ(rank.close(1), DEISA_OK) << rank.message();
  });
  const auto owner = nlohmann::json::parse(read(folder + "/deisa.json"));
  for (const auto& [name, expected] : folders) {
    const std::string made = owner.at("arrays").at(name).at("folder");
    EXPECT_TRUE(fs::is_regular_file(folder + "/" + made + "/000000000.npy")) << name;
  }
}

// A program that changes its folder, as one that gives each run a folder of its own.
TEST_F(BackendsTest, ARelativeFolderStaysWhereItWasAtOpen) {
  choose("file");
  const fs::path before = fs::current_path(), parent = fs::path(folder).parent_path();
  fs::current_path(parent);
  ::setenv("DEISA_FILE_FOLDER", "files", 1);
  ::setenv("DEISA_TRACE", "trace.json", 1);
  fs::create_directory(parent / "elsewhere");
  run(1, [&](Rank& rank, int) {
    fs::current_path(parent / "elsewhere");
    ASSERT_EQ(rank.define("t"), DEISA_OK);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    EXPECT_EQ(rank.send("t", 1.0, 0), DEISA_OK) << rank.message();
    fs::current_path("/");
    EXPECT_EQ(rank.send("t", 1.0, 1), DEISA_OK) << rank.message();
    EXPECT_EQ(rank.close(2), DEISA_OK) << rank.message();
  });
  fs::current_path(before);
  ::unsetenv("DEISA_TRACE");
  EXPECT_EQ(files(),
            (std::set<std::string>{"closed", "deisa.json", "t/000000000.npy", "t/000000001.npy"}));
  EXPECT_TRUE(fs::exists(parent / "trace.json"));
  EXPECT_TRUE(fs::is_empty(parent / "elsewhere"));
}

TEST_F(BackendsTest, AFileInThePlaceOfAFolderIsRefused) {
  choose("file");
  Plan plan;
  plan.session = "s";
  plan.arrays["t"].global_shape = {2, 3};
  plan.arrays["t"].extents = {{2}, {3}};
  FileBackend::make_folder(folder, plan);
  std::ofstream(folder + "/t") << "";
  ArrayMetadata array;
  array.name = "t";
  array.layout = Layout::contiguous(DEISA_FLOAT64, {2, 3});
  array.position = {0, 0};
  array.bytes = 48;
  try {
    const FileBackend backend({array}, 0, folder, plan);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_TRUE(contains(error.what(), "cannot make the folder " + folder + "/t: Not a directory"));
  }
}

// Beyond the limit of file sizes the system sends a signal that ends the process.
TEST_F(BackendsTest, TheLimitOfFileSizesIsAnError) {
  rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit low = {1 << 20, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const auto define = [](Rank& rank, int64_t elements, int64_t position) {
    const int64_t shape[] = {elements}, grid[] = {3}, at[] = {position};
    deisa_layout layout = DEISA_LAYOUT_INIT;
    layout.dtype = DEISA_FLOAT64;
    layout.ndim = 1;
    layout.chunk_shape = shape;
    layout.nb_chunks_per_dim = grid;
    layout.chunk_position = at;
    ASSERT_EQ(deisa_define(rank.bridge, "t", &layout, &rank.error), DEISA_OK) << rank.message();
  };
  choose("null");
  run(3, [&](Rank& rank, int r) {
    define(rank, 1 << 20, r);
    EXPECT_EQ(rank.ready(), DEISA_ERROR_RESOURCE);
    EXPECT_TRUE(contains(rank.message(), "the memory that this rank shares needs 167"));
    EXPECT_TRUE(contains(rank.message(), "a file of this process may have 1048576"));
  });
  choose("file");
  run(3, [&](Rank& rank, int r) {
    define(rank, 50000, r);
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
    const std::vector<double> data(50000);
    EXPECT_EQ(deisa_send(rank.bridge, "t", data.data(), 7, &rank.error), DEISA_ERROR_RESOURCE);
    EXPECT_TRUE(contains(rank.message(), "/t/000000007.npy.part needs 1200128 bytes"));
    EXPECT_EQ(rank.close(8), DEISA_OK) << rank.message();
  });
  const rlimit lowest = {64, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &lowest), 0);
  fs::remove_all(folder);
  run(3, [&](Rank& rank, int r) {
    define(rank, 1, r);
    EXPECT_EQ(rank.ready(), DEISA_ERROR_RESOURCE);
    EXPECT_TRUE(contains(rank.message(), "/deisa.json"));
    EXPECT_TRUE(contains(rank.message(), "a file of this process may have 64"));
  });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  rlimit after = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &after), 0);
  EXPECT_EQ(after.rlim_cur, low.rlim_cur);
  struct sigaction action = {};
  ASSERT_EQ(::sigaction(SIGXFSZ, nullptr, &action), 0);
  EXPECT_EQ(action.sa_handler, SIG_DFL);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
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
  Rank other;
  other.options.bridge_id = 1;
  other.options.world_size = 3;
  EXPECT_EQ(other.open(), DEISA_OK) << other.message();
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
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
