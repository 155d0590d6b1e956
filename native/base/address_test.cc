#include "base/address.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace deisa {
namespace {

// An address of this machine that others could reach; the loopback one when there is no network.
std::string outside_address() {
  const auto source = source_address(*parse_address("192.0.2.1", 0));
  return source ? source->host() : "127.0.0.1";
}

TEST(Address, TheOneThatOthersReachIsChosen) {
  const std::string outside = outside_address();
  const auto host = [](const char* own, const std::string& reached) {
    return reachable_address(*parse_address(own, 0), reached).host();
  };
  EXPECT_EQ(host("127.0.0.1", outside), outside);
  EXPECT_EQ(host("127.0.0.1", "127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(host("127.0.0.1", ""), "127.0.0.1");
  EXPECT_EQ(host("198.51.100.1", "203.0.113.1"), "198.51.100.1");
  EXPECT_EQ(host("::1", "127.0.0.1"), "127.0.0.1");
}

TEST(Address, HasItsNumbersInBracketsOrNot) {
  for (const char* host : {"::1", "[::1]", "0:0::1"}) {
    const auto address = parse_address(host, 29400);
    ASSERT_TRUE(address) << host;
    EXPECT_EQ(address->text(), "[::1]:29400");
    EXPECT_EQ(address->port(), 29400);
    EXPECT_EQ(resolve("x", host, 1, Deadline::after(10)).front().text(), "[::1]:1");
  }
  EXPECT_EQ(parse_address("127.0.0.1", 5)->text(), "127.0.0.1:5");
  EXPECT_FALSE(parse_address("localhost", 5));
}

TEST(Address, ALocalNameIsKnownInEverySpelling) {
  for (const char* name : {"localhost", "LocalHost", "localhost.", "ip6-localhost"}) {
    EXPECT_TRUE(is_local_name(name)) << name;
  }
  for (const char* name : {"", ".", "host", "127.0.0.1", "localhost.example.org"}) {
    EXPECT_FALSE(is_local_name(name)) << name;
  }
}

// Whatever the name service says of it, which may know one family only, or not answer.
TEST(Address, ALocalNameIsBothLoopbackAddresses) {
  const auto found = resolve("x", "LocalHost", 7, Deadline::after(10));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].text(), "127.0.0.1:7");
  EXPECT_EQ(found[1].text(), "[::1]:7");
}

TEST(Address, IsHereOrElsewhere) {
  const auto address = [](const std::string& host) { return *parse_address(host, 29400); };
  EXPECT_TRUE(address("127.0.1.1").is_here());
  EXPECT_TRUE(address("::1").is_here());
  EXPECT_TRUE(address(outside_address()).is_here());
  EXPECT_FALSE(address("192.0.2.1").is_here());
  EXPECT_FALSE(address("2001:db8::1").is_here());
  EXPECT_TRUE(same_machine(address("127.0.1.1"), address(outside_address())));
  EXPECT_TRUE(same_machine(address("192.0.2.1"), address("192.0.2.1")));
  EXPECT_FALSE(same_machine(address("192.0.2.1"), address("127.0.0.1")));
  EXPECT_FALSE(same_machine(address("192.0.2.1"), address("192.0.2.2")));
}

TEST(Address, ANameThatIsNoneIsNamed) {
  try {
    resolve("master_address", "no-such-host.invalid", 1, Deadline::after(60));
    FAIL() << "there is such a host";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
    EXPECT_NE(std::string(error.what())
                  .find("master_address \"no-such-host.invalid\" cannot be resolved"),
              std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace deisa
