// deisa.hpp against a node actor that the test plays, and under DEISA_DISABLE.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "bridge/testing/fake_node.hpp"
#include "deisa/deisa.hpp"

namespace {

using deisa::Bridge;
using deisa::Status;
using deisa::View;
using deisa::testing::FakeNode;

template <typename T>
std::string bytes_of(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

deisa::Layout layout_of(const deisa::Extents& shape) {
  deisa::Layout layout;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = shape;
  layout.chunk_position = shape;
  for (size_t d = 0; d < shape.size(); ++d) {
    layout.nb_chunks_per_dim[d] = 1;
    layout.chunk_position[d] = 0;
  }
  return layout;
}

class CppBridge : public ::testing::Test {
 protected:
  void SetUp() override { deisa::testing::set_node("", &node); }

  static deisa::Options raising() {
    deisa::Options options;
    options.error_mode = DEISA_ERRORS_RETURN;
    options.send_timeout = std::chrono::seconds(20);
    return options;
  }
  // Ready, with the array "t" of 2 x 3 doubles and "n" of 2 integers.
  static Bridge open(deisa::Options options) {
    Bridge bridge(std::move(options));
    bridge.define<double>("t", layout_of({2, 3}));
    bridge.define<std::int32_t>("n", layout_of({2}));
    bridge.ready();
    return bridge;
  }
  static Bridge open() { return open(raising()); }
  // What has arrived when all that was sent has been announced.
  std::vector<std::string> arrived(Bridge& bridge) {
    EXPECT_EQ(bridge.flush(), Status::ok);
    std::vector<std::string> bytes;
    for (const FakeNode::Chunk& chunk : node.chunks()) bytes.push_back(chunk.bytes);
    return bytes;
  }

  FakeNode node;
  double values[2][3] = {{1, 2, 3}, {4, 5, 6}};
};

TEST_F(CppBridge, SendsWhatHasAShape) {
  Bridge bridge = open();
  EXPECT_EQ(bridge.send("t", values, 0), Status::ok);
  EXPECT_EQ(bridge.send("n", std::vector<std::int32_t>{7, 8}, 0), Status::ok);
  const double* first = &values[0][0];
  EXPECT_EQ(bridge.send("t", View<const double>(first, {2, 3}, deisa::Order::fortran), 1),
            Status::ok);
  EXPECT_EQ(bridge.send_pointer("t", first, 2), Status::ok);
  const std::vector<std::string> expected = {
      bytes_of<double>({1, 2, 3, 4, 5, 6}), bytes_of<std::int32_t>({7, 8}),
      bytes_of<double>({1, 3, 5, 2, 4, 6}), bytes_of<double>({1, 2, 3, 4, 5, 6})};
  EXPECT_EQ(arrived(bridge), expected);
  EXPECT_EQ(bridge.close(3), Status::ok);
}

TEST_F(CppBridge, LeavesGhostCellsOutInTheOneCopy) {
  Bridge bridge = open();
  double block[4][5];
  for (int i = 0; i < 20; ++i) (&block[0][0])[i] = i;
  bridge.send("t", View<double>(&block[0][0], {4, 5}).inside(), 0);
  EXPECT_EQ(bridge.statistics().bytes_copied, 6 * 8);
  EXPECT_EQ(arrived(bridge).at(0), bytes_of<double>({6, 7, 8, 11, 12, 13}));
}

TEST_F(CppBridge, TheDefinitionMayHaveTheGhostCells) {
  Bridge bridge(raising());
  deisa::Layout layout = layout_of({2, 1});
  layout.halo_before = {0, 1};
  layout.halo_after = {0, 1};
  bridge.define<double>("t", layout);
  bridge.ready();
  bridge.send_pointer("t", &values[0][0], 0);
  EXPECT_EQ(arrived(bridge).at(0), bytes_of<double>({2, 5}));
}

TEST_F(CppBridge, AnotherTypeOrShapeViolatesTheContract) {
  Bridge bridge = open();
  EXPECT_THROW(bridge.send("t", std::vector<float>(6), 0), deisa::ContractError);
  EXPECT_THROW(bridge.send("t", std::vector<double>(6), 0), deisa::ContractError);
  EXPECT_THROW(bridge.send_pointer("t", std::vector<float>(6).data(), 0), deisa::ContractError);
  EXPECT_THROW(bridge.loan<float>("t"), deisa::ContractError);
  EXPECT_THROW(bridge.loan<double>("u"), deisa::ContractError);
  EXPECT_EQ(bridge.send("t", values, 0), Status::ok) << "nothing was done before";
}

TEST_F(CppBridge, AnExceptionSaysWhatWasWrongAndWhere) {
  Bridge bridge = open();
  bridge.send("t", values, 5);
  try {
    bridge.send("t", values, 5);
    FAIL() << "a timestep was sent twice";
  } catch (const deisa::ContractError& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_CONTRACT);
    EXPECT_EQ(error.rank(), 0);
    EXPECT_EQ(error.array(), "t");
    EXPECT_NE(std::strstr(error.what(), "5"), nullptr) << error.what();
  }
}

TEST_F(CppBridge, EveryStatusHasItsException) {
  const auto thrown_for = [](deisa_status status) {
    deisa::detail::raise(deisa::detail::make_error(status, ""));
  };
  EXPECT_THROW(thrown_for(DEISA_ERROR_ARGUMENT), deisa::ArgumentError);
  EXPECT_THROW(thrown_for(DEISA_ERROR_CONTRACT), deisa::ContractError);
  EXPECT_THROW(thrown_for(DEISA_ERROR_TIMEOUT), deisa::TimeoutError);
  EXPECT_THROW(thrown_for(DEISA_ERROR_COMMUNICATOR), deisa::CommunicatorError);
  EXPECT_THROW(thrown_for(DEISA_ERROR_CONNECTION), deisa::ConnectionError);
  EXPECT_THROW(thrown_for(DEISA_ERROR_RESOURCE), deisa::ResourceError);
  EXPECT_THROW(thrown_for(DEISA_ERROR_UNSUPPORTED), deisa::UnsupportedError);
  EXPECT_THROW(thrown_for(DEISA_ERROR_INTERNAL), deisa::InternalError);
}

TEST_F(CppBridge, OptionsAreChecked) {
  deisa::Options options;
  options.world_size = 0;
  options.send_timeout = std::chrono::milliseconds(-1);
  options.ray_address = "somewhere";
  try {
    Bridge bridge(std::move(options));
    FAIL() << "invalid options";
  } catch (const deisa::ArgumentError& error) {
    EXPECT_NE(std::strstr(error.what(), "world_size"), nullptr) << error.what();
    EXPECT_NE(std::strstr(error.what(), "send_timeout"), nullptr) << error.what();
  }
}

TEST_F(CppBridge, ListsOfALayoutHaveOneElementPerDimension) {
  Bridge bridge(raising());
  deisa::Layout layout = layout_of({2, 3});
  layout.chunk_position = {0};
  EXPECT_THROW(bridge.define<double>("t", layout), deisa::ArgumentError);
  layout = layout_of({2, 0});
  EXPECT_THROW(bridge.define<double>("t", layout), deisa::ArgumentError) << "an empty chunk";
}

TEST_F(CppBridge, AStepIsOneMessage) {
  Bridge bridge = open();
  deisa::Step step = bridge.begin_step(4);
  ASSERT_TRUE(step);
  step.put("t", values);
  step.put_pointer("n", std::vector<std::int32_t>{1, 2}.data());
  EXPECT_TRUE(node.chunks().empty());
  EXPECT_EQ(step.end(), Status::ok);
  EXPECT_EQ(arrived(bridge).size(), 2u);
  EXPECT_THROW(step.put("t", values), deisa::ContractError) << "it was ended";
  EXPECT_THROW(step.end(), deisa::ContractError);
}

TEST_F(CppBridge, ASkippedStepDoesNotAbandonTheOneAfterIt) {
  deisa::Options options = raising();
  options.when_full = DEISA_WHEN_FULL_SKIP;
  Bridge bridge = open(std::move(options));
  node.on_ask([](FakeNode& fake, const FakeNode::Ask& ask) {
    fake.answer(ask, false, ask.timestep - 1, "full");
  });
  node.close_gate(0, "full");
  std::int64_t t = 1;
  deisa::Step step = bridge.begin_step(t);
  while (step) {  // the gate's news may be on its way
    step.end();
    step = bridge.begin_step(++t);
  }
  ASSERT_EQ(step.status(), Status::skipped);
  node.open_gate();
  node.on_ask([](FakeNode& fake, const FakeNode::Ask& ask) {
    fake.answer(ask, true, DEISA_NO_TIMESTEP, "");
  });
  step = bridge.begin_step(++t);
  ASSERT_TRUE(step);
  step.put("t", values);
  EXPECT_EQ(step.end(), Status::ok);
  EXPECT_EQ(arrived(bridge).size(), 1u);
}

TEST_F(CppBridge, AStepThatGoesOutOfScopeIsAbandoned) {
  Bridge bridge = open();
  {
    deisa::Step step = bridge.begin_step(4);
    step.put("t", values);
    deisa::Step moved = std::move(step);
    moved.put("n", std::vector<std::int32_t>{1, 2});
  }
  EXPECT_EQ(arrived(bridge).size(), 0u);
  EXPECT_EQ(bridge.statistics().steps_skipped, 1);
  EXPECT_THROW(bridge.send("t", values, 4), deisa::ContractError) << "it left the timestep out";
  EXPECT_EQ(bridge.send("t", values, 5), Status::ok) << "no step is open";
  EXPECT_EQ(arrived(bridge).size(), 1u);
}

TEST_F(CppBridge, ArrowGoesInAndOutAndIsReleased) {
  Bridge bridge = open();
  deisa::Loan<double> loan = bridge.loan<double>("t");
  std::fill(loan.begin(), loan.end(), 2.5);
  ArrowArray array = {};
  ArrowSchema schema = {};
  loan.export_to(&array, &schema);
  ASSERT_NE(array.release, nullptr);
  EXPECT_EQ(bridge.send("t", deisa::Arrow{&array, &schema}, 0), Status::ok);
  EXPECT_EQ(array.release, nullptr);
  EXPECT_EQ(arrived(bridge).at(0), bytes_of<double>({2.5, 2.5, 2.5, 2.5, 2.5, 2.5}));
  deisa::Step step = bridge.begin_step(1);
  loan.export_to(&array, &schema);
  step.put("t", deisa::Arrow{&array, &schema});
  step.export_to(&array, &schema);
  EXPECT_EQ(array.n_children, 1);
  step.end();
  EXPECT_THROW(step.put("t", deisa::Arrow{&array, &schema}), deisa::ContractError);
  EXPECT_EQ(array.release, nullptr) << "released also when the step has ended";
  EXPECT_EQ(schema.release, nullptr);
}

TEST_F(CppBridge, AStepMayOutliveItsBridge) {
  auto bridge = std::make_optional<Bridge>(open());
  deisa::Step step = bridge->begin_step(4);
  bridge.reset();
  EXPECT_THROW(step.put("t", values), deisa::ContractError);
}

TEST_F(CppBridge, ARequestIsWaitedFor) {
  std::vector<FakeNode::Step> held;
  std::mutex mutex;
  node.on_step([&](FakeNode&, const FakeNode::Step& step) {
    const std::lock_guard<std::mutex> lock(mutex);
    held.push_back(step);
  });
  deisa::Options options = raising();
  options.acknowledge = DEISA_ACK_STORED;
  options.send_timeout = std::chrono::milliseconds(50);
  Bridge bridge = open(std::move(options));
  deisa::Request request = bridge.send_async("t", values, 0);
  EXPECT_FALSE(request.test());
  EXPECT_THROW(request.wait(), deisa::TimeoutError);
  node.on_step([](FakeNode& self, const FakeNode::Step& step) { self.store_and_announce(step); });
  std::vector<FakeNode::Step> arrived;
  while (arrived.empty()) {
    const std::lock_guard<std::mutex> lock(mutex);
    arrived = held;
  }
  node.store_and_announce(arrived[0]);
  deisa::Request moved = std::move(request);
  for (bool finished = false; !finished;) {
    try {
      finished = moved.wait() == Status::ok;
    } catch (const deisa::TimeoutError&) {  // a slow machine
    }
  }
  EXPECT_TRUE(moved.test());
  EXPECT_EQ(request.wait(), Status::ok) << "moved from: none";
}

TEST_F(CppBridge, AStepMayBeEndedWithoutWaiting) {
  Bridge bridge = open();
  deisa::Step step = bridge.begin_step(4);
  step.put("t", values);
  deisa::Request request = step.end_async();
  EXPECT_EQ(request.wait(), Status::ok);
  EXPECT_EQ(arrived(bridge).size(), 1u);
}

TEST_F(CppBridge, ABufferIsComputedInAndSentWithoutACopy) {
  Bridge bridge = open();
  deisa::Loan<double> buffer = bridge.loan<double>("t");
  ASSERT_EQ(buffer.size(), 6u);
  for (double& value : buffer) value = 2;
  buffer.view()(1, 2) = 9;
  const double* const used = buffer.data();
  EXPECT_EQ(bridge.send(buffer, 0), Status::ok);
  EXPECT_NE(buffer.data(), used) << "the next one";
  buffer[0] = 3;
  deisa::Step step = bridge.begin_step(1);
  step.put(buffer);
  step.end();
  EXPECT_EQ(bridge.statistics().bytes_copied, 0);
  EXPECT_EQ(arrived(bridge).at(0), bytes_of<double>({2, 2, 2, 2, 2, 9}));
  EXPECT_EQ(arrived(bridge).at(1).substr(0, 8), bytes_of<double>({3}));
}

TEST_F(CppBridge, FeedbackHasTypes) {
  node.set_value("number", "\x07");
  node.set_value("half", std::string("\xcb\x3f\xe0\0\0\0\0\0\0", 9));
  node.set_value("text", "\xa3yes");
  node.set_value("long text", "\xd9\x28" + std::string(40, 'x'));
  node.set_value("true", "\xc3");
  node.set_value("bytes", "\xc4\x01\xc3");
  node.set_value("most", "\xcf" + std::string(8, '\xff'));
  Bridge bridge = open();
  EXPECT_EQ(bridge.get<int>("number"), 7);
  EXPECT_EQ(bridge.get<std::uint8_t>("number"), 7);
  EXPECT_EQ(bridge.get<double>("number"), 7.0);
  EXPECT_EQ(bridge.get<double>("half"), 0.5);
  EXPECT_EQ(bridge.get<bool>("true"), true);
  EXPECT_EQ(bridge.get<std::string>("text"), "yes");
  EXPECT_EQ(bridge.get<std::string>("long text"), std::string(40, 'x'));
  EXPECT_EQ(bridge.get<std::vector<std::byte>>("bytes"), std::vector<std::byte>{std::byte{0xc3}});
  EXPECT_THROW(bridge.get<std::vector<std::byte>>("text"), deisa::ArgumentError);
  EXPECT_EQ(bridge.get<std::uint64_t>("most"), UINT64_MAX);
  EXPECT_THROW(bridge.get<std::int64_t>("most"), deisa::ArgumentError);
  EXPECT_THROW(bridge.get<double>("most"), deisa::ArgumentError);
  EXPECT_THROW(bridge.get<int>("half"), deisa::ArgumentError);
  EXPECT_EQ(bridge.get<int>("number", {deisa::latest, deisa::Seconds(0), true}), 7);
  EXPECT_EQ(bridge.get<int>("nothing"), std::nullopt);
  EXPECT_EQ(bridge.get<std::string>("nothing").value_or("default"), "default");
  EXPECT_THROW(bridge.get<bool>("number"), deisa::ArgumentError) << "7 is no bool";
  EXPECT_THROW(bridge.get<std::string>("number"), deisa::ArgumentError);
  bridge.delete_("number");
  EXPECT_EQ(bridge.get<int>("number"), std::nullopt);
}

TEST_F(CppBridge, FeedbackOfArraysAndTrees) {
  // ["int16", [1, 2], 4 bytes] as extension type 1; {"a": [nil]}
  node.set_value("array",
                 std::string("\xc7\x10\x01\x93\xa5int16\x92\x01\x02\xc4\x04\x07\x00\x08\x00", 19));
  node.set_value("map",
                 "\x81\xa1"
                 "a\x91\xc0");
  Bridge bridge = open();
  const auto view = bridge.get<deisa::View<const std::int16_t>>("array");
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->rank(), 2u);
  EXPECT_EQ((*view)(0, 0), 7);
  EXPECT_EQ((*view)(0, 1), 8);
  EXPECT_THROW(bridge.get<deisa::View<const double>>("array"), deisa::ArgumentError);
  EXPECT_THROW(bridge.get<deisa::View<const double>>("map"), deisa::ArgumentError);
  EXPECT_EQ(bridge.get<deisa::View<const double>>("nothing"), std::nullopt);
  const auto map = bridge.get<const deisa_value*>("map", {deisa::latest, deisa::Seconds(0), true});
  ASSERT_TRUE(map.has_value());
  EXPECT_EQ((*map)->kind, DEISA_VALUE_MAP);
  EXPECT_STREQ((*map)->keys[0], "a");
  EXPECT_EQ((*map)->items[0].items[0].kind, DEISA_VALUE_NULL);
}

TEST_F(CppBridge, OptionsOfBackPressureAreHandedOn) {
  deisa::Options options = raising();
  options.when_full = DEISA_WHEN_FULL_FAIL;
  options.block_timeout = std::chrono::milliseconds(20);
  options.store_threshold = 0.5;
  options.max_ahead = 4;
  options.window = 3;
  Bridge bridge = open(std::move(options));
  EXPECT_NE(node.last_finalise.find("\"max_ahead\":4"), std::string::npos) << node.last_finalise;
  EXPECT_NE(node.last_finalise.find("\"threshold\":0.5"), std::string::npos);
  EXPECT_NE(node.last_finalise.find("\"window\":3"), std::string::npos);
  node.on_ask([](FakeNode& n, const FakeNode::Ask& ask) { n.answer(ask, false, -1, "full"); });
  node.close_gate(-1, "full");
  bridge.delete_("nothing");
  EXPECT_THROW(bridge.begin_step(0), deisa::ResourceError);
}

TEST_F(CppBridge, ANumberMustFit) {
  node.set_value("large", std::string("\xcd\x01\x2c", 3));  // 300
  node.set_value("negative", "\xff");
  Bridge bridge = open();
  EXPECT_EQ(bridge.get<std::int16_t>("large"), 300);
  EXPECT_THROW(bridge.get<std::int8_t>("large"), deisa::ArgumentError);
  EXPECT_EQ(bridge.get<int>("negative"), -1);
  EXPECT_THROW(bridge.get<unsigned>("negative"), deisa::ArgumentError);
}

TEST_F(CppBridge, FailuresGoToTheHandler) {
  std::vector<std::string> messages;
  deisa::Options options;
  options.acknowledge = DEISA_ACK_STORED;
  options.error_handler = [&](const deisa::Exception& error) { messages.push_back(error.what()); };
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_RESOURCE, "no room", true);
  });
  Bridge bridge = open(std::move(options));
  EXPECT_EQ(bridge.send("t", values, 0), Status::reported);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_NE(messages[0].find("no room"), std::string::npos);
}

TEST_F(CppBridge, WhatTheHandlerThrowsComesOutOfTheCall) {
  struct Mine {};
  deisa::Options options;
  options.acknowledge = DEISA_ACK_STORED;
  options.error_handler = [](const deisa::Exception&) { throw Mine(); };
  node.on_step([](FakeNode& self, const FakeNode::Step& step) {
    self.fail(step, DEISA_ERROR_RESOURCE, "no room", true);
  });
  Bridge bridge = open(std::move(options));
  EXPECT_THROW(bridge.send("t", values, 0), Mine);
  node.on_step([](FakeNode& self, const FakeNode::Step& step) { self.store_and_announce(step); });
  EXPECT_EQ(bridge.send("t", values, 1), Status::ok);
}

TEST_F(CppBridge, ABridgeIsMovedAndClosedOnce) {
  Bridge first = open();
  Bridge second = std::move(first);
  EXPECT_EQ(second.send("t", values, 0), Status::ok);
  EXPECT_THROW(first.send("t", values, 1), deisa::ContractError);  // NOLINT: moved from
  EXPECT_EQ(first.handle(), nullptr);
  EXPECT_THROW(second.close(-1), deisa::ContractError) << "older than what was sent";
  EXPECT_EQ(second.close(1), Status::ok) << "still open";
  EXPECT_EQ(second.close(1), Status::ok);
  EXPECT_THROW(second.send("t", values, 1), deisa::ContractError);
}

TEST_F(CppBridge, OneThatIsNotClosedIsAbandoned) {
  {
    Bridge bridge = open();
    bridge.send("t", values, 0);
    bridge = open();  // the first one leaves
    bridge.send("t", values, 0);
  }
  const auto abandoned = [&] {
    int count = 0;
    for (const std::string& line : node.log()) count += line == "BYE 0 abandoned";
    return count;
  };
  while (abandoned() < 2) std::this_thread::yield();
  for (const std::string& line : node.log()) EXPECT_EQ(line.find("END"), std::string::npos);
}

// A communicator of one rank that counts how often it is released.
deisa_communicator counting(int* released) {
  deisa_communicator table = {};
  table.struct_size = sizeof(table);
  table.self = released;
  table.rank = [](void*) { return 0; };
  table.size = [](void*) { return 1; };
  table.barrier = [](void*, double, deisa_error*) { return DEISA_OK; };
  table.gather = [](void*, const void* sent, size_t bytes, void* received, int32_t, double,
                    deisa_error*) {
    if (bytes > 0) std::memcpy(received, sent, bytes);
    return DEISA_OK;
  };
  table.broadcast = [](void*, void*, size_t, int32_t, double, deisa_error*) { return DEISA_OK; };
  table.release = [](void* self) { ++*static_cast<int*>(self); };
  return table;
}

TEST_F(CppBridge, ACommunicatorIsReleasedOnce) {
  int released = 0;
  {
    deisa::Options options = raising();
    options.communicator = deisa::Communicator(counting(&released));
    Bridge bridge = open(std::move(options));
    EXPECT_EQ(released, 0);
    bridge.close(1);
    EXPECT_EQ(released, 1);
  }
  EXPECT_EQ(released, 1);
  deisa::Communicator unused(counting(&released));
  deisa::Communicator moved = std::move(unused);
  moved = deisa::Communicator();
  EXPECT_EQ(released, 2);
  deisa::Options wrong;
  wrong.world_size = 5;
  wrong.communicator = deisa::Communicator(counting(&released));
  EXPECT_THROW(Bridge(std::move(wrong)), deisa::ArgumentError);
  EXPECT_EQ(released, 3) << "no bridge took it over";
  {
    deisa::Options options = raising();
    options.communicator = deisa::Communicator(counting(&released));
    const Bridge never_ready(std::move(options));
  }
  EXPECT_EQ(released, 4);
}

TEST_F(CppBridge, ACommunicatorThatCannotBeOpenedIsAnException) {
  const auto open = [](int size, deisa_communicator*, deisa_error* error) {
    error->rank = size;
    return DEISA_ERROR_COMMUNICATOR;
  };
  EXPECT_THROW(deisa::Communicator::open(open, 3), deisa::CommunicatorError);
}

TEST_F(CppBridge, DisabledEverythingIsASuccess) {
  ::setenv("DEISA_DISABLE", "1", 1);
  int released = 0;
  {
    deisa::Options options;
    options.communicator = deisa::Communicator(counting(&released));
    Bridge bridge = open(std::move(options));
    EXPECT_EQ(bridge.send("t", values, 0), Status::ok);
    EXPECT_EQ(bridge.send_async("t", values, 1).wait(), Status::ok);
    deisa::Step step = bridge.begin_step(2);
    EXPECT_TRUE(step);
    step.put("t", values);
    EXPECT_EQ(step.end(), Status::ok);
    EXPECT_EQ(bridge.get<int>("k"), std::nullopt);
    deisa::Loan<double> buffer = bridge.loan<double>("t");
    buffer[5] = 1;
    EXPECT_EQ(bridge.send(buffer, 3), Status::ok);
    EXPECT_EQ(bridge.flush(), Status::ok);
    EXPECT_EQ(bridge.statistics().chunks_sent, 0);
    EXPECT_EQ(bridge.close(4), Status::ok);
  }
  ::unsetenv("DEISA_DISABLE");
  EXPECT_TRUE(node.log().empty());
  EXPECT_EQ(released, 1);
}

}  // namespace
