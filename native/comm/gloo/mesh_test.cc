// With a secret, the connections that Gloo makes are used only when both ends have it.
#include "comm/gloo/mesh.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "base/error.hpp"

namespace deisa {
namespace {

// What each of two members says that connect with these secrets.
std::vector<std::string> connect(const std::string& one, const std::string& other) {
  const Deadline deadline = Deadline::after(20);
  const auto local = parse_address("127.0.0.1", 0);
  Mesh zero(0, 2, *local, one, deadline);
  Mesh second(1, 2, *local, other, deadline);
  std::vector<std::string> said(2);
  const auto run = [&](Mesh& mesh, const Mesh& peer) {
    const size_t part = peer.addresses().size() / 2;
    const auto at = static_cast<size_t>(mesh.rank());
    std::vector<std::string> addresses(2);
    addresses[1 - at] = peer.addresses().substr(at * part, part);
    try {
      mesh.connect(addresses, deadline);
    } catch (const Error& error) {
      said[at] = error.what();
    }
  };
  std::thread thread([&] { run(second, zero); });
  run(zero, second);
  thread.join();
  return said;
}

TEST(MeshTest, MembersWithOneSecretConnect) {
  EXPECT_EQ(connect("a secret", "a secret"), std::vector<std::string>(2));
  EXPECT_EQ(connect("", ""), std::vector<std::string>(2));
}

TEST(MeshTest, AMemberWithAnotherSecretIsAStranger) {
  const auto said = connect("a secret", "another secret");
  for (const std::string& one : said) {
    EXPECT_NE(one.find("who connected as rank"), std::string::npos) << one;
  }
  EXPECT_NE((said[0] + said[1]).find("does not have DEISA_SECRET"), std::string::npos);
}

}  // namespace
}  // namespace deisa
