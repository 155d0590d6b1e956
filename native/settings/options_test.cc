#include "settings/options.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>

#include "bridge/testing/rank.hpp"
#include "settings/testing/environment.hpp"

namespace deisa {
namespace {

using testing::environment;
using testing::variables;

class OptionsTest : public ::testing::Test {
 protected:
  void SetUp() override { variables().clear(); }

  std::string refused() const {
    try {
      resolve_options(given, &environment);
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return "";
  }
  void expect_refused(const std::string& text) const {
    const std::string message = refused();
    EXPECT_NE(message.find(text), std::string::npos) << message << "\nmisses: " << text;
  }

  deisa_options given = DEISA_OPTIONS_INIT;
};

TEST_F(OptionsTest, DefaultsAreOneRank) {
  const Options options = resolve_options(given, &environment);
  EXPECT_EQ(options.bridge_id, 0);
  EXPECT_EQ(options.world_size, 1);
  EXPECT_EQ(options.master_address, "127.0.0.1");
  EXPECT_EQ(options.comm_timeout, 120.0);
  EXPECT_EQ(options.ready_timeout, 600.0);
  EXPECT_EQ(options.init_retries, 3);
  EXPECT_EQ(options.max_in_flight, 2);
  EXPECT_EQ(options.acknowledge, DEISA_ACK_RECEIVED);
  EXPECT_EQ(options.error_mode, DEISA_ERRORS_REPORT);
}

TEST_F(OptionsTest, BackPressure) {
  Options options = resolve_options(given, &environment);
  EXPECT_EQ(options.when_full, DEISA_WHEN_FULL_BLOCK);
  EXPECT_EQ(options.block_timeout, 120.0) << "send_timeout";
  EXPECT_EQ(options.store_threshold, 0.5);
  EXPECT_EQ(options.max_ahead, 0);
  EXPECT_EQ(options.window, 1);
  variables() = {{"DEISA_WHEN_FULL", "skip"},
                 {"DEISA_STORE_THRESHOLD", "1"},
                 {"DEISA_MAX_AHEAD", "9"},
                 {"DEISA_WINDOW", "4"}};
  options = resolve_options(given, &environment);
  EXPECT_EQ(options.when_full, DEISA_WHEN_FULL_SKIP);
  EXPECT_EQ(options.block_timeout, 0.0) << "nobody waits for a step that can be skipped";
  EXPECT_EQ(options.store_threshold, 1.0);
  EXPECT_EQ(options.max_ahead, 9);
  EXPECT_EQ(options.window, 4);
  variables()["DEISA_BLOCK_TIMEOUT"] = "2.5";
  EXPECT_EQ(resolve_options(given, &environment).block_timeout, 2.5);
}

TEST_F(OptionsTest, BadValuesOfBackPressure) {
  variables() = {{"DEISA_WHEN_FULL", "wait"},
                 {"DEISA_BLOCK_TIMEOUT", "-3"},
                 {"DEISA_STORE_THRESHOLD", "0"},
                 {"DEISA_MAX_AHEAD", "-1"},
                 {"DEISA_WINDOW", "0"}};
  expect_refused("when_full = 'wait' (from DEISA_WHEN_FULL): expected one of block skip fail");
  expect_refused("block_timeout = '-3' (from DEISA_BLOCK_TIMEOUT): expected seconds, at least 0");
  expect_refused(
      "store_threshold = '0' (from DEISA_STORE_THRESHOLD): expected more than 0, at most 1");
  expect_refused("max_ahead = '-1' (from DEISA_MAX_AHEAD): expected at least 1, or 0 for no limit");
  expect_refused("window = '0' (from DEISA_WINDOW): expected at least 1");
}

TEST_F(OptionsTest, EnvironmentTakesPrecedence) {
  given.comm_timeout = 5;
  given.acknowledge = DEISA_ACK_STORED;
  variables() = {{"DEISA_COMM_TIMEOUT", "7.5"},
                 {"DEISA_ACKNOWLEDGE", "announced"},
                 {"DEISA_ERRORS", "return"},
                 {"DEISA_MASTER_PORT", "1234"}};
  const Options options = resolve_options(given, &environment);
  EXPECT_EQ(options.comm_timeout, 7.5);
  EXPECT_EQ(options.acknowledge, DEISA_ACK_ANNOUNCED);
  EXPECT_EQ(options.error_mode, DEISA_ERRORS_RETURN);
  EXPECT_EQ(options.master_port, 1234);
}

TEST_F(OptionsTest, BadValuesOfTheEnvironmentNameTheirVariable) {
  variables() = {{"DEISA_COMM_TIMEOUT", "soon"},
                 {"DEISA_ACKNOWLEDGE", "maybe"},
                 {"DEISA_MASTER_PORT", "0x50"},
                 {"DEISA_INIT_RETRIES", "0"}};
  expect_refused("comm_timeout = 'soon' (from DEISA_COMM_TIMEOUT): expected seconds, more than 0");
  expect_refused(
      "acknowledge = 'maybe' (from DEISA_ACKNOWLEDGE): expected one of received stored announced");
  expect_refused("master_port = '0x50' (from DEISA_MASTER_PORT): expected 1 ... 65535");
  expect_refused("init_retries = '0' (from DEISA_INIT_RETRIES): expected 1 ... 1000");
}

TEST_F(OptionsTest, TimeoutsMustBePositive) {
  for (const double seconds : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                               std::numeric_limits<double>::infinity()}) {
    given = DEISA_OPTIONS_INIT;
    given.comm_timeout = seconds;
    expect_refused("comm_timeout = ");
    given = DEISA_OPTIONS_INIT;
    given.ready_timeout = seconds;
    expect_refused("ready_timeout = ");
    given = DEISA_OPTIONS_INIT;
    given.send_timeout = seconds;
    expect_refused("send_timeout = ");
  }
}

TEST_F(OptionsTest, RankAndWorld) {
  given.world_size = 0;
  expect_refused("world_size = 0: expected at least 1");
  given.world_size = -2;
  expect_refused("world_size = -2: expected at least 1");
  given.world_size = 4;
  expect_refused("bridge_id is missing: expected 0 ... 3");
  given.bridge_id = 4;
  expect_refused("bridge_id = 4: expected less than world_size, 4");
  given.bridge_id = -2;
  expect_refused("bridge_id = -2: expected 0 ...");
  given.bridge_id = 2;
  given.world_size = -1;
  expect_refused("world_size is missing");
  given.world_size = 3;
  EXPECT_EQ(resolve_options(given, &environment).bridge_id, 2);
}

TEST_F(OptionsTest, Ports) {
  for (const int port : {0, 65536, -5}) {
    given.master_port = port;
    expect_refused("master_port = " + std::to_string(port) + ": expected 1 ... 65535");
  }
  for (const int port : {1, 65535}) {
    given.master_port = port;
    EXPECT_EQ(resolve_options(given, &environment).master_port, port);
  }
}

TEST_F(OptionsTest, Counts) {
  given.init_retries = 0;
  given.max_in_flight = 0;
  const int unknown = 9;
  std::memcpy(&given.acknowledge, &unknown, sizeof(unknown));
  std::memcpy(&given.error_mode, &unknown, sizeof(unknown));
  expect_refused("init_retries = 0");
  expect_refused("max_in_flight = 0");
  expect_refused("acknowledge = 9");
  expect_refused("error_mode = 9");
}

TEST_F(OptionsTest, StructSizeIsChecked) {
  given.struct_size = 0;
  expect_refused("start from DEISA_OPTIONS_INIT");
}

int32_t one(void*) { return 1; }
int32_t three(void*) { return 3; }
deisa_status no_barrier(void*, double, deisa_error*) { return DEISA_OK; }
deisa_status no_gather(void*, const void*, size_t, void*, int32_t, double, deisa_error*) {
  return DEISA_OK;
}
deisa_status no_broadcast(void*, void*, size_t, int32_t, double, deisa_error*) { return DEISA_OK; }

TEST_F(OptionsTest, CommunicatorGivesRankAndSize) {
  deisa_communicator table = {sizeof(table), nullptr,      one,     three,  no_barrier,
                              no_gather,     no_broadcast, nullptr, nullptr};
  given.communicator = &table;
  const Options options = resolve_options(given, &environment);
  EXPECT_EQ(options.bridge_id, 1);
  EXPECT_EQ(options.world_size, 3);
  given.bridge_id = 2;
  expect_refused("bridge_id = 2: expected the communicator's rank, 1");
  given.bridge_id = -1;
  given.world_size = 4;
  expect_refused("world_size = 4: expected the communicator's size, 3");
  given.world_size = -1;
  const deisa_communicator whole = table;
  for (const size_t function :
       {offsetof(deisa_communicator, rank), offsetof(deisa_communicator, size),
        offsetof(deisa_communicator, barrier), offsetof(deisa_communicator, gather),
        offsetof(deisa_communicator, broadcast)}) {
    std::memset(reinterpret_cast<char*>(&table) + function, 0, sizeof(table.rank));
    expect_refused("communicator: a function is NULL");
    table = whole;
  }
  table.struct_size = 8;
  expect_refused("communicator: struct_size = 8");
  table.struct_size = sizeof(table);
  table.rank = three;
  expect_refused("communicator: rank 3 of 3");
  table.rank = [](void*) -> int32_t { return -1; };
  expect_refused("communicator: rank -1 of 3");
  table.rank = [](void*) -> int32_t { return -2; };
  table.size = [](void*) -> int32_t { return 0; };
  expect_refused("communicator: rank -2 of 0");
}

TEST_F(OptionsTest, Disable) {
  EXPECT_FALSE(is_disabled(&environment));
  variables() = {{"DEISA_DISABLE", "0"}};
  EXPECT_FALSE(is_disabled(&environment));
  variables() = {{"DEISA_DISABLE", "1"}};
  EXPECT_TRUE(is_disabled(&environment));
  for (const char* word : {"2", "banana", "y", "1 "}) {
    variables() = {{"DEISA_DISABLE", word}};
    try {
      is_disabled(&environment);
      ADD_FAILURE() << word << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
      EXPECT_TRUE(
          testing::contains(error.what(), "DEISA_DISABLE = '" + std::string(word) +
                                              "' (from DEISA_DISABLE): expected true, yes, on, 1"));
    }
  }
}

}  // namespace
}  // namespace deisa
