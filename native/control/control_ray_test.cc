// Both kinds of control against a running Ray cluster, at DEISA_TEST_RAY_ADDRESS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "control/control.hpp"

namespace deisa {
namespace {

class ControlRayTest : public testing::TestWithParam<ControlKind> {};

TEST_P(ControlRayTest, JoinsAndCalls) {
  const char* address = std::getenv("DEISA_TEST_RAY_ADDRESS");
  ASSERT_NE(address, nullptr) << "expected host:port of a Ray cluster";
  Control::Settings settings;
  settings.kind = GetParam();
  settings.ray_address = address;
  const auto control = Control::start(settings);
  const Deadline deadline = Deadline::after(60);
  control->connect(deadline);
  try {
    control->call("no-such-actor", "method", "{}", deadline);
    ADD_FAILURE() << "there is no such actor";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_CONNECTION) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr("no-such-actor"));
  }
  const std::string reply = control->run("no-such-function", "{}", deadline);
  EXPECT_THAT(reply, testing::HasSubstr("no-such-function"));
  EXPECT_THAT(reply, testing::HasSubstr("unsupported"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ControlRayTest,
                         testing::Values(ControlKind::kJava, ControlKind::kPython),
                         [](const auto& info) {
                           return info.param == ControlKind::kJava ? "Java" : "Python";
                         });

}  // namespace
}  // namespace deisa
