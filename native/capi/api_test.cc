// One rank through the C ABI, against a node actor that the test plays.
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <future>
#include <initializer_list>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

namespace deisa::testing {
namespace {

class ApiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_node("", &node);
    rank.options.error_mode = DEISA_ERRORS_RETURN;
    rank.options.send_timeout = 20;
  }
  void start() {
    ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("t"), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.define("u"), DEISA_OK) << rank.message();
    ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  }
  // Failures go to a handler, which keeps them.
  void report_to(std::vector<deisa_error>& seen) {
    rank.options.error_mode = DEISA_ERRORS_REPORT;
    rank.options.error_handler = [](void* data, const deisa_error* error) {
      static_cast<std::vector<deisa_error>*>(data)->push_back(*error);
    };
    rank.options.error_handler_data = &seen;
  }
  static std::vector<int64_t> timesteps_of(const std::vector<deisa_error>& errors) {
    std::vector<int64_t> timesteps;
    for (const deisa_error& error : errors) timesteps.push_back(error.timestep);
    return timesteps;
  }
  void expect_contract(deisa_status status, const std::string& text) const {
    EXPECT_EQ(status, DEISA_ERROR_CONTRACT);
    EXPECT_TRUE(contains(rank.error.message, text));
    EXPECT_EQ(rank.error.rank, 0);
  }
  deisa_statistics status() {
    deisa_statistics out = {};
    out.struct_size = sizeof(out);
    EXPECT_EQ(deisa_get_statistics(rank.bridge, &out, &rank.error), DEISA_OK);
    return out;
  }
  std::string text_of(double value) const {
    const auto data = Rank::values(value);
    return std::string(reinterpret_cast<const char*>(data.data()), sizeof(data));
  }

  FakeNode node;
  Rank rank;
};

TEST_F(ApiTest, SendsTheBytes) {
  start();
  EXPECT_EQ(rank.send("t", 1.5, 7), DEISA_OK);
  EXPECT_EQ(rank.close(8), DEISA_OK);
  EXPECT_EQ(rank.bridge, nullptr);
  const auto chunks = node.chunks();
  ASSERT_EQ(chunks.size(), 1u);
  EXPECT_EQ(chunks[0].timestep, 7);
  EXPECT_EQ(chunks[0].bytes, text_of(1.5));
  EXPECT_EQ(rank.close(8), DEISA_OK) << "close is idempotent";
}

TEST_F(ApiTest, DescribesItsArraysAndTheEndMarker) {
  start();
  const auto marker = nlohmann::json::parse(node.definition(0, 0));
  EXPECT_EQ(marker.at("name"), "__deisa_last_iteration_array");
  EXPECT_EQ(marker.at("dtype"), "int16");
  EXPECT_EQ(marker.at("chunk_shape"), nlohmann::json({1, 1}));
  EXPECT_EQ(marker.at("nb_chunks_of_node"), 1);
  const auto array = nlohmann::json::parse(node.definition(0, 1));
  EXPECT_EQ(array.at("name"), "t");
  EXPECT_EQ(array.at("chunk_shape"), nlohmann::json({2, 3}));
  EXPECT_EQ(array.at("nb_chunks_of_node"), 1) << "derived";
}

TEST_F(ApiTest, ClosePromisesFlushesAndEnds) {
  start();
  ASSERT_EQ(rank.send("t", 0, 1), DEISA_OK);
  ASSERT_EQ(rank.close(5), DEISA_OK);
  const auto log = node.log();
  const std::vector<std::string> expected = {"READY 0", "STEP 0 t=1 n=1",
                                             "PROGRESS 0 t=9223372036854775807", "END 0 t=5"};
  ASSERT_GE(log.size(), expected.size());
  EXPECT_EQ(std::vector<std::string>(log.begin(), log.begin() + 4), expected);
}

TEST_F(ApiTest, TimestepsOfAnArrayGrow) {
  start();
  ASSERT_EQ(rank.send("t", 0, 3), DEISA_OK);
  expect_contract(rank.send("t", 0, 3), "array 't': timestep 3 was sent before");
  EXPECT_EQ(rank.error.timestep, 3);
  EXPECT_STREQ(rank.error.array, "t");
  expect_contract(rank.send("t", 0, 2), "timestep 2 is older than the last one");
  EXPECT_EQ(rank.send("u", 0, 3), DEISA_OK) << "another array of the same timestep";
  expect_contract(rank.send("u", 0, 3), "was sent before");
  EXPECT_EQ(rank.send("t", 0, 10), DEISA_OK) << "timesteps may jump";
  expect_contract(rank.send("u", 0, 9), "analytics see timesteps in order");
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(node.chunks().size(), 3u);
}

TEST_F(ApiTest, ReservedTimesteps) {
  start();
  expect_contract(rank.send("t", 0, INT64_MIN), "is reserved");
  expect_contract(rank.send("t", 0, INT64_MAX), "is reserved");
  EXPECT_EQ(rank.send("t", 0, -5), DEISA_OK) << "negative timesteps are timesteps";
}

TEST_F(ApiTest, UnknownArrays) {
  start();
  expect_contract(rank.send("nope", 0, 0),
                  "unknown array 'nope': expected one that was defined on "
                  "this rank: 't', 'u'");
  expect_contract(rank.send("__deisa_last_iteration_array", 0, 0), "unknown array");
}

TEST_F(ApiTest, StepsTravelInOneMessage) {
  start();
  ASSERT_EQ(rank.begin(4), DEISA_OK);
  EXPECT_EQ(rank.put("u", 10), DEISA_OK);
  EXPECT_EQ(rank.put("t", 20), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(node.log().back(), "STEP 0 t=4 n=2 last");
  EXPECT_EQ(node.chunks()[0].bytes, text_of(10));
  EXPECT_EQ(node.chunks()[1].bytes, text_of(20));
  expect_contract(rank.send("t", 0, 4), "was sent before");
  ASSERT_EQ(rank.begin(5), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK) << "a step may be empty";
  while (node.log().size() < 3) std::this_thread::yield();
  EXPECT_EQ(node.log().back(), "STEP 0 t=5 n=0 last");
  expect_contract(rank.begin(5), "older than expected");
  expect_contract(rank.send("t", 0, 5), "expected at least 6");
}

TEST_F(ApiTest, StepsKeepTheirRules) {
  start();
  expect_contract(rank.put("t", 0), "put of 't' outside a step");
  expect_contract(rank.end(), "end_step outside a step");
  ASSERT_EQ(rank.begin(1), DEISA_OK);
  expect_contract(rank.begin(2), "begin_step(2) inside the step 1");
  expect_contract(rank.send("t", 0, 1), "send of 't' inside the step 1");
  EXPECT_EQ(rank.put("t", 0), DEISA_OK);
  expect_contract(rank.put("t", 0), "was put before in step 1");
  expect_contract(rank.close(9), "close inside the step 1");
  EXPECT_NE(rank.bridge, nullptr) << "nothing was done";
  EXPECT_EQ(rank.end(), DEISA_OK);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(node.chunks().size(), 1u);
}

TEST_F(ApiTest, CallsOutOfPlace) {
  ASSERT_EQ(rank.open(), DEISA_OK);
  ASSERT_EQ(rank.define("t"), DEISA_OK);
  expect_contract(rank.send("t", 0, 0), "send before deisa_ready");
  EXPECT_EQ(rank.define("t"), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "is defined already"));
  ASSERT_EQ(rank.ready(), DEISA_OK);
  expect_contract(rank.ready(), "called before");
  expect_contract(rank.define("late"), "after deisa_ready");
}

TEST_F(ApiTest, CloseMayNotBeOlderThanTheData) {
  start();
  ASSERT_EQ(rank.send("t", 0, 5), DEISA_OK);
  expect_contract(rank.close(4), "expected at least the newest timestep that was sent, 5");
  EXPECT_NE(rank.bridge, nullptr);
  expect_contract(rank.close(INT64_MAX), "expected at least the newest timestep that was sent, 5");
  EXPECT_NE(rank.bridge, nullptr);
  EXPECT_EQ(rank.close(5), DEISA_OK);
}

TEST_F(ApiTest, AbandonSaysSo) {
  start();
  deisa_abandon(&rank.bridge);
  EXPECT_EQ(rank.bridge, nullptr);
  deisa_abandon(&rank.bridge);
  while (!contains(node.log().back(), "BYE")) std::this_thread::yield();
  EXPECT_EQ(node.log().back(), "BYE 0 abandoned");
}

TEST_F(ApiTest, AcknowledgeLevels) {
  for (const auto level : {DEISA_ACK_RECEIVED, DEISA_ACK_STORED, DEISA_ACK_ANNOUNCED}) {
    // The node actor never reaches the next level.
    node.on_step([level](FakeNode& self, const FakeNode::Step& step) {
      if (level == DEISA_ACK_STORED) self.store(step);
      if (level == DEISA_ACK_ANNOUNCED) self.store_and_announce(step);
    });
    Rank one;
    one.options.acknowledge = level;
    one.options.error_mode = DEISA_ERRORS_RETURN;
    ASSERT_EQ(one.open(), DEISA_OK);
    ASSERT_EQ(one.define("t"), DEISA_OK);
    ASSERT_EQ(one.ready(), DEISA_OK);
    EXPECT_EQ(one.send("t", 0, 1), DEISA_OK) << level;
    deisa_statistics now = {};
    now.struct_size = sizeof(now);
    ASSERT_EQ(deisa_get_statistics(one.bridge, &now, nullptr), DEISA_OK);
    EXPECT_EQ(now.chunks_stored, level == DEISA_ACK_RECEIVED ? 0 : 1);
    EXPECT_EQ(now.chunks_announced, level == DEISA_ACK_ANNOUNCED ? 1 : 0);
  }
}

TEST_F(ApiTest, AWaitForALevelEnds) {
  node.on_step([](FakeNode& self, const FakeNode::Step& step) { self.store(step); });
  rank.options.acknowledge = DEISA_ACK_ANNOUNCED;
  rank.options.send_timeout = 0.2;
  start();
  EXPECT_EQ(rank.send("t", 0, 6), DEISA_ERROR_TIMEOUT);
  EXPECT_TRUE(contains(rank.message(), "timestep 6 is announced"));
  EXPECT_EQ(rank.error.timestep, 6);
  EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_ERROR_TIMEOUT);
}

TEST_F(ApiTest, NoMoreThanMaxInFlight) {
  node.on_step([](FakeNode&, const FakeNode::Step&) {});  // never stored
  rank.options.send_timeout = 0.2;
  start();
  EXPECT_EQ(rank.send("t", 0, 0), DEISA_OK);
  EXPECT_EQ(rank.send("t", 0, 1), DEISA_OK);
  EXPECT_EQ(rank.send("t", 0, 2), DEISA_ERROR_TIMEOUT);
  EXPECT_TRUE(contains(rank.message(), "2 chunks of array 't' are not in the object store yet"));
  EXPECT_EQ(rank.begin(2), DEISA_ERROR_TIMEOUT) << "the whole step is admitted, or nothing of it";
  expect_contract(rank.put("u", 0), "outside a step");
  const auto now = status();
  EXPECT_EQ(now.chunks_in_flight, 2);
  EXPECT_GT(now.seconds_blocked, 0.3);
}

TEST_F(ApiTest, AFailureOfTheSendItself) {
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_RESOURCE, "the object store is full", true);
  });
  rank.options.acknowledge = DEISA_ACK_STORED;
  start();
  EXPECT_EQ(rank.send("t", 0, 3), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(rank.message(), "the object store is full");
  EXPECT_EQ(rank.error.earlier, 0);
  EXPECT_EQ(status().errors, 1);
  EXPECT_EQ(status().errors_earlier, 0);
  EXPECT_STREQ(rank.error.array, "t");
  EXPECT_EQ(rank.error.timestep, 3);
  EXPECT_EQ(status().chunks_failed, 1);
  EXPECT_EQ(status().chunks_in_flight, 0) << "the slot is free again";
}

TEST_F(ApiTest, AFailureAfterTheReturnComesWithTheNextCall) {
  std::vector<FakeNode::Step> kept;
  node.on_step([&kept](FakeNode& self, const FakeNode::Step& step) {
    if (step.timestep == 1) {
      self.store(step);
      kept.push_back(step);
    } else {
      self.fail(kept.front(), DEISA_ERROR_CONNECTION, "rank 3 died", false);
      self.store_and_announce(step);
    }
  });
  start();
  ASSERT_EQ(rank.send("t", 0, 1), DEISA_OK);
  rank.options.acknowledge = DEISA_ACK_ANNOUNCED;
  deisa_status status = rank.send("t", 0, 2);
  for (int tries = 0; status == DEISA_OK && tries < 1000; ++tries) {
    std::this_thread::yield();
    deisa_statistics ignored = {};
    ignored.struct_size = sizeof(ignored);
    deisa_get_statistics(rank.bridge, &ignored, nullptr);
    status = deisa_flush(rank.bridge, &rank.error);
  }
  EXPECT_EQ(status, DEISA_ERROR_CONNECTION);
  EXPECT_EQ(rank.message(), "an earlier call failed: rank 3 died");
  EXPECT_EQ(rank.error.timestep, 1);
  EXPECT_EQ(rank.error.earlier, 1);
  EXPECT_EQ(this->status().errors, 1);
  EXPECT_EQ(this->status().errors_earlier, 1);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(node.chunks().size(), 2u) << "the call that reported it did its own work";
}

// Two chunks fail after their sends have returned; `next` is the call that says so.
template <typename Next>
void fail_two_late(FakeNode& node, Rank& rank, const Next& next) {
  // A send returns when the receiver has the chunk, perhaps before the node has seen the step.
  std::array<std::promise<FakeNode::Step>, 2> kept;
  node.on_step([&kept](FakeNode&, const FakeNode::Step& step) {
    if (step.timestep <= 2) kept[static_cast<size_t>(step.timestep - 1)].set_value(step);
  });
  ASSERT_EQ(rank.send("t", 0, 1), DEISA_OK);
  ASSERT_EQ(rank.send("t", 0, 2), DEISA_OK);
  for (std::promise<FakeNode::Step>& one : kept) {
    std::future<FakeNode::Step> arrived = one.get_future();
    ASSERT_EQ(arrived.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    const FakeNode::Step step = arrived.get();
    node.fail(step, DEISA_ERROR_RESOURCE, "full at " + std::to_string(step.timestep), true);
  }
  next();
}

TEST_F(ApiTest, InModeReturnOneErrorSaysAllThatFailedSince) {
  start();
  fail_two_late(node, rank, [&] {
    EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_ERROR_RESOURCE);
    EXPECT_TRUE(contains(rank.message(), "full at 1"));
    EXPECT_TRUE(contains(rank.message(),
                         "Also, rank 0, array 't', timestep 2: an earlier call failed: full at 2"));
    EXPECT_EQ(rank.error.timestep, 1);
    EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK) << "each is reported once";
  });
}

TEST_F(ApiTest, InModeReportTheHandlerGetsEachThatFailedSince) {
  std::vector<deisa_error> seen;
  report_to(seen);
  start();
  fail_two_late(node, rank, [&] {
    EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_REPORTED);
    EXPECT_EQ(timesteps_of(seen), (std::vector<int64_t>{1, 2}));
    EXPECT_EQ(rank.error.timestep, 1);
  });
}

TEST_F(ApiTest, InModeReportAStepBeginsAndAValueIsFoundWhateverFailedBefore) {
  std::vector<deisa_error> seen;
  report_to(seen);
  start();
  node.set_value("gain", "\x07");
  fail_two_late(node, rank, [&] {
    node.on_step([](FakeNode& self, const FakeNode::Step& step) { self.store_and_announce(step); });
    for (int64_t t = 3; seen.size() < 2 && t < 100000; ++t) {
      int64_t gain = 0;
      ASSERT_EQ(deisa_get_int64(rank.bridge, "gain", nullptr, &gain, &rank.error), DEISA_OK);
      ASSERT_EQ(gain, 7);
      ASSERT_EQ(rank.begin(t), DEISA_OK) << rank.message();
      ASSERT_EQ(deisa_abandon_step(rank.bridge, nullptr) < 0, false);
    }
    EXPECT_EQ(timesteps_of(seen), (std::vector<int64_t>{1, 2}));
  });
}

TEST_F(ApiTest, InModeReturnBeginStepReportsEarlierFailuresAndBeginsNothing) {
  start();
  fail_two_late(node, rank, [&] {
    deisa_status begun = rank.begin(3);
    // Until both answers have arrived.
    std::string said = rank.message();
    for (int tries = 0; tries < 100000 && !contains(said, "full at 2"); ++tries) {
      if (begun == DEISA_OK) {
        ASSERT_EQ(rank.end(), DEISA_OK);
      }
      begun = rank.begin(3 + tries);
      if (begun != DEISA_OK) said += rank.message();
    }
    EXPECT_EQ(begun, DEISA_ERROR_RESOURCE);
    EXPECT_TRUE(contains(said, "full at 1"));
    expect_contract(rank.put("t", 0), "outside a step");
  });
}

TEST_F(ApiTest, CloseEndsTheBridgeWhateverFailsInIt) {
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_CONTRACT, "the node actor refuses it", true);
  });
  rank.options.error_mode = DEISA_ERRORS_REPORT;
  start();
  ASSERT_EQ(rank.send("t", 0, 1), DEISA_OK);
  EXPECT_EQ(rank.close(2), DEISA_ERROR_CONTRACT) << "always returned";
  EXPECT_TRUE(contains(rank.message(), "the node actor refuses it"));
  EXPECT_EQ(rank.bridge, nullptr) << "it has ended";
}

TEST_F(ApiTest, TheHandlerGetsFailuresAndTheSimulationGoesOn) {
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_RESOURCE, "full", true);
  });
  std::vector<deisa_error> seen;
  report_to(seen);
  rank.options.acknowledge = DEISA_ACK_STORED;
  start();
  EXPECT_EQ(rank.send("t", 0, 3), DEISA_REPORTED);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].status, DEISA_ERROR_RESOURCE);
  EXPECT_EQ(seen[0].rank, 0);
  EXPECT_STREQ(seen[0].array, "t");
  EXPECT_EQ(seen[0].timestep, 3);
  expect_contract(rank.send("t", 0, 3), "was sent before");
  EXPECT_EQ(seen.size(), 1u) << "a violation of the contract is returned, not handled";
}

TEST_F(ApiTest, TheHandlerGetsEachCauseOnce) {
  // As when a rank of another node has died: what fails because of it fails with the same words.
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_CONNECTION, step.timestep < 5 ? "rank 3 died" : "rank 4 died",
              true);
  });
  std::vector<deisa_error> seen;
  report_to(seen);
  rank.options.acknowledge = DEISA_ACK_STORED;
  start();
  for (int64_t t = 3; t < 7; ++t) {
    EXPECT_EQ(rank.send("t", 0, t), DEISA_REPORTED);
    EXPECT_TRUE(contains(rank.message(), t < 5 ? "rank 3 died" : "rank 4 died"));
  }
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_STREQ(seen[0].message, "rank 3 died");
  EXPECT_EQ(seen[0].timestep, 3);
  EXPECT_STREQ(seen[1].message, "rank 4 died");
  EXPECT_EQ(seen[1].timestep, 5);
  EXPECT_EQ(status().chunks_failed, 4) << "each is counted";
}

TEST_F(ApiTest, AHandlerThatThrowsIsKeptInside) {
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_RESOURCE, "full", true);
  });
  rank.options.error_mode = DEISA_ERRORS_REPORT;
  rank.options.acknowledge = DEISA_ACK_STORED;
  rank.options.error_handler = [](void*, const deisa_error*) { throw 42; };
  start();
  EXPECT_EQ(rank.send("t", 0, 3), DEISA_REPORTED);
}

TEST_F(ApiTest, TheDefaultHandlerSaysWhereOnStderr) {
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_RESOURCE, "full", true);
  });
  rank.options.error_mode = DEISA_ERRORS_REPORT;
  rank.options.acknowledge = DEISA_ACK_STORED;
  start();
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(rank.send("t", 0, 3), DEISA_REPORTED);
  EXPECT_EQ(rank.send("t", 0, 4), DEISA_REPORTED);
  const std::string printed = ::testing::internal::GetCapturedStderr();
  for (const char* timestep : {"3", "4"}) {
    const size_t at = printed.find(std::string("deisa: rank 0, array 't', timestep ") + timestep +
                                   ": out of resources: full");
    ASSERT_NE(at, std::string::npos) << printed;
  }
  EXPECT_EQ(printed.find("called from"), std::string::npos) << "this is no defect of the library";
}

TEST_F(ApiTest, AReportedBeginStepLeavesTheStepOut) {
  node.on_step([](FakeNode&, const FakeNode::Step&) {});
  rank.options.error_mode = DEISA_ERRORS_REPORT;
  rank.options.send_timeout = 0.1;
  rank.options.max_in_flight = 1;
  rank.options.error_handler = [](void*, const deisa_error*) {};
  start();
  ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK);
  EXPECT_EQ(rank.begin(1), DEISA_REPORTED);
  EXPECT_EQ(rank.put("t", 0), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK);
  EXPECT_EQ(status().steps_skipped, 1);
  EXPECT_EQ(node.chunks().size(), 1u);
}

TEST_F(ApiTest, AnAbandonedStepIsNotHandedOver) {
  start();
  EXPECT_EQ(deisa_abandon_step(rank.bridge, &rank.error), DEISA_OK) << "no step is open";
  // As often as there are slots, and once more: they are free again.
  for (int64_t t = 0; t < 4; ++t) {
    ASSERT_EQ(rank.begin(t), DEISA_OK);
    ASSERT_EQ(rank.put("t", 0), DEISA_OK) << rank.message();
    EXPECT_EQ(deisa_abandon_step(rank.bridge, &rank.error), DEISA_OK);
    expect_contract(rank.end(), "end_step outside a step");
    expect_contract(rank.send("t", 0, t), "is older than expected");
  }
  EXPECT_EQ(status().steps_skipped, 4);
  EXPECT_EQ(status().steps_sent, 0);
  EXPECT_EQ(rank.send("t", 0, 4), DEISA_OK);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(node.chunks().size(), 1u);
  const std::vector<std::string> log = node.log();
  EXPECT_NE(std::find(log.begin(), log.end(), "PROGRESS 0 t=4"), log.end())
      << "nobody waits for it";
}

TEST_F(ApiTest, ANodeActorThatDiesIsReportedByTheNextCall) {
  start();
  ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK);
  node.close_all();
  deisa_status status = DEISA_OK;
  for (int64_t t = 1; status == DEISA_OK && t < 1000; ++t) status = rank.send("t", 0, t);
  EXPECT_EQ(status, DEISA_ERROR_CONNECTION) << rank.message();
  EXPECT_NE(rank.close(2000), DEISA_OK);
  EXPECT_EQ(rank.bridge, nullptr) << "close frees all the same";
}

TEST_F(ApiTest, TheLossOfTheNodeActorNamesWhatIsLost) {
  // Announced: 0 to 2; stored only: 3, 4, 6; then the node actor dies.
  std::promise<void> came;
  node.on_step([&came](FakeNode& self, const FakeNode::Step& step) {
    self.store(step);
    if (step.timestep <= 2) self.announce(step);
    if (step.timestep == 6) came.set_value();
  });
  ::setenv("DEISA_STATUS", "1", 1);
  rank.options.max_in_flight = 8;
  start();
  ::unsetenv("DEISA_STATUS");
  for (const int64_t t : {0, 1, 2, 3, 4, 6}) ASSERT_EQ(rank.send("t", 0, t), DEISA_OK);
  came.get_future().wait();
  node.close_all();
  deisa_statistics now = status();
  for (int tries = 0; now.chunks_lost == 0 && tries < 100000; ++tries) now = status();
  EXPECT_EQ(now.chunks_lost, 3);
  EXPECT_EQ(now.chunks_sent, 6);
  EXPECT_EQ(now.chunks_announced, 3);
  EXPECT_EQ(now.chunks_in_flight, 0);
  for (const int64_t t : {7, 8}) {
    EXPECT_EQ(rank.send("t", 0, t), DEISA_ERROR_CONNECTION);
    EXPECT_TRUE(contains(rank.message(), "the node actor is gone"));
    EXPECT_TRUE(contains(rank.message(),
                         "Lost with it: array 't', timesteps 3 to 4, 6. Of what had "
                         "been announced, up to timestep 2,"));
    EXPECT_EQ(rank.error.timestep, t);
  }
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(rank.close(9), DEISA_ERROR_CONNECTION);
  const auto end = nlohmann::json::parse(node.last_end);  // one request
  EXPECT_EQ(end.at("newest"), 6);
  EXPECT_EQ(end.at("session"), nlohmann::json::parse(node.last_prepare).at("session"));
  const std::string printed = ::testing::internal::GetCapturedStderr();
  for (const char* part : {"rank 0 of 1 closed", "6 sent, 6 stored, 3 announced, 0 failed, 3 lost",
                           "errors     3, of these 0 of earlier calls"}) {
    EXPECT_TRUE(contains(printed, part));
  }
}

TEST_F(ApiTest, WhatFailsForGoodIsReportedOnceAndCounted) {
  std::promise<uint64_t> first;
  node.on_step([&first](FakeNode& self, const FakeNode::Step& step) {
    if (step.timestep == 0) {
      self.store_and_announce(step);
      first.set_value(step.connection);
    } else {
      self.fail(step, DEISA_ERROR_CONNECTION, "not announced, because the analytics have ended",
                true);
    }
  });
  std::vector<deisa_error> seen;
  report_to(seen);
  rank.options.acknowledge = DEISA_ACK_STORED;
  start();
  ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK);
  node.notice(first.get_future().get(), "the analytics have ended", true);
  for (int64_t t = 1; t <= 5; ++t) {
    EXPECT_EQ(rank.send("t", 0, t), DEISA_REPORTED) << "each send says that its chunk has failed";
    EXPECT_TRUE(contains(rank.message(), "the analytics have ended"));
  }
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(status().errors, 6);
  EXPECT_EQ(rank.close(6), DEISA_REPORTED);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_TRUE(contains(seen[1].message, "5 more failures were counted and not reported"));
  EXPECT_TRUE(contains(seen[1].message, "the analytics have ended"));
  EXPECT_EQ(seen[1].timestep, 5);
}

// As when a rank of another node has died after this rank's chunk was announced: no chunk fails.
TEST_F(ApiTest, ANoticeComesWithTheNextCallWhateverItIs) {
  std::promise<uint64_t> connection;
  node.on_step([&connection](FakeNode& self, const FakeNode::Step& step) {
    self.store_and_announce(step);
    connection.set_value(step.connection);
  });
  rank.options.acknowledge = DEISA_ACK_ANNOUNCED;
  start();
  ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  node.notice(connection.get_future().get(), "rank 3 died", false);
  EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_ERROR_CONNECTION)
      << "nothing is in flight";
  EXPECT_EQ(rank.message(), "rank 3 died");
  EXPECT_EQ(rank.error.earlier, 1);
  EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK) << "it is told once";
}

TEST_F(ApiTest, AFailedStartIsOneClearError) {
  node.prepare_error = "Failed to create/ready scheduling actor for node x: no room";
  ASSERT_EQ(rank.open(), DEISA_OK);
  ASSERT_EQ(rank.define("t"), DEISA_OK);
  EXPECT_EQ(rank.ready(), DEISA_ERROR_CONNECTION);
  EXPECT_TRUE(contains(rank.message(), "Failed to create/ready scheduling actor for node x"));
  expect_contract(rank.send("t", 0, 0), "after deisa_ready failed");
  EXPECT_EQ(rank.close(0), DEISA_OK) << "nobody is waited for";
}

TEST_F(ApiTest, TheControlProcessIsStartedEarlyWhereItIsNeeded) {
  ASSERT_EQ(rank.open(), DEISA_OK);
  EXPECT_EQ(controls(), 1) << "the only rank";
  ASSERT_EQ(rank.define("t"), DEISA_OK);
  ASSERT_EQ(rank.ready(), DEISA_OK);
  EXPECT_EQ(controls(), 0) << "needed no more";
  deisa_abandon(&rank.bridge);
  rank.options.bridge_id = 0;
  rank.options.world_size = 4;
  ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
  EXPECT_EQ(controls(), 1) << "rank 0 is the lowest of its node";
  deisa_abandon(&rank.bridge);
  rank.options.bridge_id = 3;
  const std::pair<const char*, int> launchers[] = {{"", 0}, {"0", 1}, {"1", 0}};
  for (const auto& [local_rank, expected] : launchers) {
    if (*local_rank != '\0') ::setenv("OMPI_COMM_WORLD_LOCAL_RANK", local_rank, 1);
    ASSERT_EQ(rank.open(), DEISA_OK);
    EXPECT_EQ(controls(), expected) << "local rank " << local_rank;
    deisa_abandon(&rank.bridge);
    EXPECT_EQ(controls(), 0);
  }
  ::setenv("OMPI_COMM_WORLD_LOCAL_RANK", "0", 1);
  ::setenv("DEISA_BACKEND", "null", 1);
  ASSERT_EQ(rank.open(), DEISA_OK);
  EXPECT_EQ(controls(), 0) << "nothing of Ray is needed";
  ::unsetenv("DEISA_BACKEND");
  ::unsetenv("OMPI_COMM_WORLD_LOCAL_RANK");
}

TEST_F(ApiTest, AnalyticsThatNeverStartEndReady) {
  node.finalise_error = "the head actor did not come within 3 s: start the analytics";
  ASSERT_EQ(rank.open(), DEISA_OK);
  ASSERT_EQ(rank.define("t"), DEISA_OK);
  EXPECT_EQ(rank.ready(), DEISA_ERROR_TIMEOUT);
  EXPECT_TRUE(contains(rank.message(), "start the analytics"));
}

TEST_F(ApiTest, Feedback) {
  start();
  std::string packed;
  nlohmann::json::to_msgpack(2.5, packed);
  node.set_value("gain", packed);
  double number = -1;
  EXPECT_EQ(deisa_get_double(rank.bridge, "gain", nullptr, &number, &rank.error), DEISA_OK);
  EXPECT_EQ(number, 2.5);
  int64_t integer = -1;
  EXPECT_EQ(deisa_get_int64(rank.bridge, "gain", nullptr, &integer, &rank.error),
            DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "feedback 'gain' is 2.5: expected an integer"));
  EXPECT_EQ(integer, -1);
  EXPECT_EQ(deisa_get_double(rank.bridge, "none", nullptr, &number, &rank.error), DEISA_NOT_FOUND);
  EXPECT_EQ(number, 2.5) << "the default stays";
  EXPECT_EQ(deisa_delete(rank.bridge, "gain", &rank.error), DEISA_OK);
  EXPECT_EQ(deisa_get_double(rank.bridge, "gain", nullptr, &number, &rank.error), DEISA_NOT_FOUND);
  for (const auto& change : std::initializer_list<std::function<void(deisa_get_options&)>>{
           [](deisa_get_options& one) { one.struct_size = 8; },
           [](deisa_get_options& one) { one.wait = -1; },
           [](deisa_get_options& one) { one.wait = std::nan(""); },
           [](deisa_get_options& one) { one.all = 1, one.timestep = 3; }}) {
    deisa_get_options options = DEISA_GET_OPTIONS_INIT;
    change(options);
    EXPECT_EQ(deisa_get_double(rank.bridge, "gain", &options, &number, &rank.error),
              DEISA_ERROR_ARGUMENT);
  }
}

TEST_F(ApiTest, FeedbackOfAnyKind) {
  start();
  std::string packed;
  nlohmann::json::to_msgpack({{"what", nullptr}, {"who", {"a", 1}}}, packed);
  node.set_value("map", packed);
  const deisa_value* value = nullptr;
  EXPECT_EQ(deisa_get(rank.bridge, "none", nullptr, &value, &rank.error), DEISA_NOT_FOUND);
  EXPECT_EQ(value, nullptr);
  for (const bool collective : {false, true}) {
    ASSERT_EQ(deisa_get(rank.bridge, "map", &*read(DEISA_LATEST, collective), &value, &rank.error),
              DEISA_OK);
    ASSERT_EQ(value->kind, DEISA_VALUE_MAP);
    ASSERT_EQ(value->size, 2u);
    EXPECT_STREQ(value->keys[1], "who");
    EXPECT_EQ(value->items[0].kind, DEISA_VALUE_NULL);
    EXPECT_EQ(value->items[1].items[1].integer, 1);
  }
  EXPECT_EQ(deisa_get(rank.bridge, "map", nullptr, nullptr, &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_get(nullptr, "map", nullptr, &value, &rank.error), DEISA_ERROR_CONTRACT);
}

TEST_F(ApiTest, APlainReadAsksOnceAndHearsOfChanges) {
  start();
  node.set_value("k", "\x01");
  int64_t number = -1;
  const auto read_k = [&](const deisa_get_options* options = nullptr) {
    return deisa_get_int64(rank.bridge, "k", options, &number, &rank.error);
  };
  for (int i = 0; i < 100; ++i) ASSERT_EQ(read_k(), DEISA_OK);
  EXPECT_EQ(node.gets(), 1);
  const deisa_value* first = nullptr;
  const deisa_value* second = nullptr;
  ASSERT_EQ(deisa_get(rank.bridge, "k", nullptr, &first, &rank.error), DEISA_OK);
  ASSERT_EQ(deisa_get(rank.bridge, "k", nullptr, &second, &rank.error), DEISA_OK);
  EXPECT_EQ(first, second) << "not converted again";
  node.set_value("k", "\x02");
  ASSERT_EQ(read_k(), DEISA_OK);
  EXPECT_EQ(number, 2);
  ASSERT_EQ(deisa_get(rank.bridge, "k", nullptr, &second, &rank.error), DEISA_OK);
  EXPECT_EQ(second->integer, 2);
  EXPECT_EQ(node.gets(), 1);
  EXPECT_EQ(deisa_delete(rank.bridge, "k", &rank.error), DEISA_OK);
  EXPECT_EQ(read_k(), DEISA_NOT_FOUND);
  // More than fits into a message is asked for again.
  std::string large;
  nlohmann::json::to_msgpack(std::string(100000, 'x'), large);
  node.set_value("k", large);
  ASSERT_EQ(deisa_get(rank.bridge, "k", nullptr, &first, &rank.error), DEISA_OK);
  EXPECT_EQ(first->size, 100000u);
  EXPECT_EQ(node.gets(), 2);
  deisa_get_options options = DEISA_GET_OPTIONS_INIT;
  options.timestep = 3;
  EXPECT_EQ(read_k(&options), DEISA_NOT_FOUND);
  EXPECT_EQ(node.gets(), 3) << "a timestep is asked for";
  node.close_all();
  deisa_status status = DEISA_OK;
  for (int i = 0; status == DEISA_OK && i < 100000; ++i) {
    status = deisa_get(rank.bridge, "k", nullptr, &first, &rank.error);
  }
  EXPECT_EQ(status, DEISA_ERROR_CONNECTION) << "what is kept is not all there is to know";
}

TEST_F(ApiTest, AReadWaitsForTheValueOfItsTimestep) {
  start();
  deisa_get_options options = DEISA_GET_OPTIONS_INIT;
  options.timestep = 3;
  options.wait = 20;
  for (const int collective : {0, 1}) {
    options.collective = collective;
    options.timestep += collective;
    auto setter = std::async(std::launch::async, [&, t = options.timestep] {
      while (node.gets() == collective) std::this_thread::yield();
      node.set_value("k@" + std::to_string(t), "\x07");
    });
    int64_t number = -1;
    EXPECT_EQ(deisa_get_int64(rank.bridge, "k", &options, &number, &rank.error), DEISA_OK)
        << rank.message();
    EXPECT_EQ(number, 7);
  }
}

TEST_F(ApiTest, AllKeptValuesAreAList) {
  start();
  std::string packed;
  nlohmann::json::to_msgpack({{1, 0.5}, {3, "x"}}, packed);
  node.set_value("k*", packed);
  deisa_get_options options = DEISA_GET_OPTIONS_INIT;
  options.all = 1;
  const deisa_value* value = nullptr;
  ASSERT_EQ(deisa_get(rank.bridge, "k", &options, &value, &rank.error), DEISA_OK);
  ASSERT_EQ(value->kind, DEISA_VALUE_LIST);
  ASSERT_EQ(value->size, 2u);
  EXPECT_EQ(value->items[1].items[0].integer, 3);
  EXPECT_EQ(value->items[0].items[1].number, 0.5);
}

TEST_F(ApiTest, ChunkedFeedbackIsRefusedInEveryMode) {
  rank.options.error_mode = DEISA_ERRORS_REPORT;
  start();
  double number = 7;
  deisa_get_options chunked = DEISA_GET_OPTIONS_INIT;
  chunked.chunked = 1;
  EXPECT_EQ(deisa_get_double(rank.bridge, "gain", &chunked, &number, &rank.error),
            DEISA_ERROR_UNSUPPORTED);
  EXPECT_TRUE(contains(rank.message(), "feedback 'gain': chunked is not implemented"));
  EXPECT_EQ(number, 7);
}

TEST_F(ApiTest, CountsWhatItDid) {
  start();
  ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK);
  ASSERT_EQ(rank.begin(1), DEISA_OK);
  ASSERT_EQ(rank.put("t", 0), DEISA_OK);
  ASSERT_EQ(rank.put("u", 0), DEISA_OK);
  ASSERT_EQ(rank.end(), DEISA_OK);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  const auto now = status();
  EXPECT_EQ(now.steps_sent, 2);
  EXPECT_EQ(now.chunks_sent, 3);
  EXPECT_EQ(now.chunks_stored, 3);
  EXPECT_EQ(now.chunks_announced, 3);
  EXPECT_EQ(now.chunks_in_flight, 0);
  EXPECT_EQ(now.bytes_sent, 3 * 48);
  EXPECT_EQ(now.bytes_copied, 3 * 48) << "one copy";
}

TEST_F(ApiTest, ArrowMemoryIsViewedAndReleased) {
  start();
  const auto data = Rank::values(3);
  const int64_t shape[] = {2, 3};
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.ndim = 2;
  layout.chunk_shape = shape;
  ArrowArray array = {};
  ArrowSchema schema = {};
  ASSERT_EQ(deisa_export_memory(data.data(), &layout, &array, &schema, &rank.error), DEISA_OK)
      << rank.message();
  EXPECT_EQ(send_from(rank.bridge, "t", arrow(&array, &schema), 1, nullptr, &rank.error), DEISA_OK)
      << rank.message();
  EXPECT_EQ(array.release, nullptr);
  EXPECT_EQ(schema.release, nullptr);
  ASSERT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_OK);
  EXPECT_EQ(node.chunks()[0].bytes, text_of(3));
  layout.dtype = DEISA_INT64;
  ASSERT_EQ(deisa_export_memory(data.data(), &layout, &array, &schema, &rank.error), DEISA_OK);
  expect_contract(send_from(rank.bridge, "t", arrow(&array, &schema), 2, nullptr, &rank.error),
                  "float64");
  EXPECT_STREQ(rank.error.array, "t");
  EXPECT_EQ(array.release, nullptr) << "released after an error too";
}

TEST_F(ApiTest, NullArguments) {
  EXPECT_EQ(deisa_open(nullptr, nullptr, nullptr), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_send(nullptr, "t", this, 0, &rank.error), DEISA_ERROR_CONTRACT);
  EXPECT_TRUE(contains(rank.message(), "bridge is NULL: it was never opened, or it was closed"));
  deisa_statistics out = {};
  out.struct_size = sizeof(out);
  EXPECT_EQ(deisa_get_statistics(nullptr, &out, &rank.error), DEISA_ERROR_CONTRACT);
  start();
  EXPECT_EQ(deisa_send(rank.bridge, nullptr, this, 0, nullptr), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_send(rank.bridge, "t", nullptr, 0, &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(rank.message(), "data is NULL");
  EXPECT_EQ(deisa_define_json(rank.bridge, nullptr, &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_close(nullptr, 0, nullptr), DEISA_OK);
  deisa_abandon(nullptr);
}

TEST_F(ApiTest, JsonDefinitionsAreAnObject) {
  ASSERT_EQ(rank.open(), DEISA_OK);
  for (const char* text : {"[]", "null", "3", "\"t\""}) {
    EXPECT_EQ(deisa_define_json(rank.bridge, text, &rank.error), DEISA_ERROR_ARGUMENT) << text;
    EXPECT_TRUE(contains(rank.message(), "expected an object, array name -> metadata"));
  }
}

TEST_F(ApiTest, JsonDefinitionsAreAllOrNothing) {
  ASSERT_EQ(rank.open(), DEISA_OK);
  EXPECT_EQ(deisa_define_json(rank.bridge, "{", &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "is not JSON"));
  const char* twice = R"({"a": {"chunk_shape": [2], "nb_chunks_per_dim": [1], "dtype": "int8",
                                "chunk_position": [0]},
                          "a": {"dtype": "int8", "dtype": "real"}})";
  EXPECT_EQ(deisa_define_json(rank.bridge, twice, &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "array \"a\" is there twice: expected each once"));
  EXPECT_TRUE(contains(rank.message(), "key \"dtype\" is there twice: expected each once"));
  EXPECT_TRUE(contains(rank.message(), "array 'a': dtype = \"real\"")) << "all together";
  const char* half = R"({"a": {"chunk_shape": [2], "nb_chunks_per_dim": [1], "dtype": "int8",
                               "chunk_position": [0]},
                         "b": {}})";
  EXPECT_EQ(deisa_define_json(rank.bridge, half, &rank.error), DEISA_ERROR_ARGUMENT);
  ASSERT_EQ(rank.ready(), DEISA_OK) << "no arrays at all is allowed";
  expect_contract(rank.send("a", 0, 0), "unknown array 'a'");
}

// A program of 0.2.0 gives a deisa_layout without `start`; what lies behind it is not read.
TEST_F(ApiTest, ALayoutWithoutStartIsEnough) {
  ASSERT_EQ(rank.open(), DEISA_OK);
  const int64_t shape[] = {2, 3}, one[] = {1, 1}, zero[] = {0, 0};
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.struct_size = offsetof(deisa_layout, start);
  layout.ndim = 2;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = one;
  layout.chunk_position = zero;
  layout.start = reinterpret_cast<const int64_t*>(1);
  ASSERT_EQ(deisa_define(rank.bridge, "t", &layout, &rank.error), DEISA_OK) << rank.message();
  layout.struct_size -= 1;
  EXPECT_EQ(deisa_define(rank.bridge, "u", &layout, &rank.error), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(contains(rank.message(), "layout: struct_size = "));
}

TEST_F(ApiTest, AChunkByItsStartHasItsPlaceInTheGrid) {
  ASSERT_EQ(rank.open(), DEISA_OK);
  ASSERT_EQ(deisa_define_json(rank.bridge,
                              R"({"t": {"chunk_shape": [2, 3], "global_shape": [2, 3],
                                        "start": [0, 0], "dtype": "float64"}})",
                              &rank.error),
            DEISA_OK)
      << rank.message();
  ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  const auto definition = nlohmann::json::parse(node.definition(0, 1));
  EXPECT_EQ(definition.at("nb_chunks_per_dim"), nlohmann::json({1, 1}));
  EXPECT_EQ(definition.at("chunk_position"), nlohmann::json({0, 0}));
}

TEST_F(ApiTest, AsynchronousSends) {
  std::mutex mutex;
  std::vector<FakeNode::Step> kept;
  node.on_step([&](FakeNode&, const FakeNode::Step& step) {
    std::lock_guard<std::mutex> lock(mutex);
    kept.push_back(step);
  });
  rank.options.acknowledge = DEISA_ACK_STORED;
  rank.options.send_timeout = 0.2;
  start();
  const auto data = Rank::values(1);
  deisa_request first = 0, second = 0, third = 0;
  ASSERT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 0, &first, &rank.error), DEISA_OK);
  ASSERT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 1, &second, &rank.error), DEISA_OK);
  EXPECT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 2, &third, &rank.error),
            DEISA_ERROR_TIMEOUT)
      << "bounded in flight";
  EXPECT_EQ(third, 0u);
  EXPECT_EQ(deisa_test(rank.bridge, &first, &rank.error), DEISA_ERROR_TIMEOUT)
      << "the third one has waited for send_timeout";
  EXPECT_TRUE(contains(rank.message(), "timestep 0 is stored"));
  EXPECT_EQ(deisa_test(rank.bridge, &first, &rank.error), DEISA_PENDING) << "for as long again";
  EXPECT_NE(first, 0u);
  EXPECT_EQ(deisa_wait(rank.bridge, &first, &rank.error), DEISA_ERROR_TIMEOUT);
  EXPECT_NE(first, 0u) << "may be waited for again";
  {
    std::lock_guard<std::mutex> lock(mutex);
    ASSERT_EQ(kept.size(), 2u);
    node.store_and_announce(kept[0]);
    node.fail(kept[1], DEISA_ERROR_RESOURCE, "full", true);
  }
  EXPECT_EQ(deisa_wait(rank.bridge, &first, &rank.error), DEISA_OK) << rank.message();
  EXPECT_EQ(first, 0u);
  EXPECT_EQ(deisa_wait(rank.bridge, &second, &rank.error), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(rank.error.timestep, 1);
  EXPECT_EQ(second, 0u);
  EXPECT_EQ(deisa_wait(rank.bridge, &second, &rank.error), DEISA_OK) << "0 is finished";
}

TEST_F(ApiTest, ATestReportsItsOwnRequestAlone) {
  std::mutex mutex;
  std::vector<FakeNode::Step> kept;
  node.on_step([&](FakeNode& self, const FakeNode::Step& step) {
    std::lock_guard<std::mutex> lock(mutex);
    kept.push_back(step);
    if (step.timestep == 1) {
      self.fail(kept[0], DEISA_ERROR_CONNECTION, "rank 3 died", true);
      self.store_and_announce(kept[1]);
    }
  });
  start();
  const auto data = Rank::values(1);
  ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK);  // received; it fails later
  deisa_request request = 0;
  ASSERT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 1, &request, &rank.error),
            DEISA_OK);
  while (status().chunks_announced == 0) std::this_thread::yield();
  EXPECT_EQ(deisa_test(rank.bridge, &request, &rank.error), DEISA_OK) << rank.message();
  EXPECT_EQ(request, 0u);
  EXPECT_EQ(deisa_flush(rank.bridge, &rank.error), DEISA_ERROR_CONNECTION);
  EXPECT_EQ(rank.error.timestep, 0);
}

TEST_F(ApiTest, AsynchronousSteps) {
  start();
  deisa_request request = 0;
  ASSERT_EQ(rank.begin(0), DEISA_OK);
  ASSERT_EQ(rank.put("t", 1), DEISA_OK);
  ASSERT_EQ(deisa_end_step(rank.bridge, &request, &rank.error), DEISA_OK);
  EXPECT_EQ(deisa_wait(rank.bridge, &request, &rank.error), DEISA_OK);
  EXPECT_EQ(rank.close(1), DEISA_OK);
}

TEST_F(ApiTest, ARequestThatIsDroppedIsFlushedAndReported) {
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_RESOURCE, "full", true);
  });
  start();
  const auto data = Rank::values(1);
  deisa_request request = 0;
  ASSERT_EQ(send_from(rank.bridge, "t", memory_at(data.data()), 0, &request, &rank.error),
            DEISA_OK);
  EXPECT_EQ(rank.close(1), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(rank.message(), "an earlier call failed: full");
}

TEST_F(ApiTest, TwoBridgesOneAfterTheOther) {
  start();
  ASSERT_EQ(rank.send("t", 0, 0), DEISA_OK);
  ASSERT_EQ(rank.close(1), DEISA_OK);
  start();
  EXPECT_EQ(rank.send("t", 0, 0), DEISA_OK);
  EXPECT_EQ(rank.close(1), DEISA_OK);
}

TEST_F(ApiTest, DisabledEverythingIsASuccess) {
  ::setenv("DEISA_DISABLE", "1", 1);
  EXPECT_EQ(rank.open(), DEISA_OK);
  EXPECT_EQ(rank.define("t"), DEISA_OK);
  EXPECT_EQ(rank.ready(), DEISA_OK);
  EXPECT_EQ(rank.send("t", 0, 0), DEISA_OK);
  EXPECT_EQ(rank.begin(1), DEISA_OK);
  EXPECT_EQ(rank.put("t", 0), DEISA_OK);
  EXPECT_EQ(rank.end(), DEISA_OK);
  double value = 4;
  EXPECT_EQ(deisa_get_double(rank.bridge, "k", &*read(DEISA_LATEST, true), &value, &rank.error),
            DEISA_NOT_FOUND);
  EXPECT_EQ(value, 4);
  EXPECT_EQ(status().chunks_sent, 0);
  void* buffer = nullptr;
  ASSERT_EQ(deisa_loan(rank.bridge, "t", &buffer, nullptr, &rank.error), DEISA_OK);
  ASSERT_NE(buffer, nullptr) << "ordinary memory";
  std::memset(buffer, 0, 48);
  EXPECT_EQ(send_from(rank.bridge, "t", loan(&buffer), 2, nullptr, &rank.error), DEISA_OK);
  EXPECT_NE(buffer, nullptr);
  EXPECT_EQ(rank.close(2), DEISA_OK);
  ::unsetenv("DEISA_DISABLE");
  EXPECT_TRUE(node.log().empty());
}

}  // namespace
}  // namespace deisa::testing
