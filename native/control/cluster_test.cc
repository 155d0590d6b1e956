#include "control/cluster.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/file_descriptor.hpp"
#include "control/test_places.hpp"

namespace deisa {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Adds a running raylet to the machine.
void raylet(Machine& machine, const std::string& pid, const std::string& cluster,
            const std::string& node_ip, const std::string& socket = "") {
  std::string command = "/x/raylet/raylet --python_worker_command=python --gcs-address=wrong:1";
  command += '\0' + ("--node_ip_address=" + node_ip) + '\0' + "--gcs-address=" + cluster + '\0';
  if (!socket.empty()) command += "--raylet_socket_name=" + socket + '\0';
  machine.file("proc/" + pid + "/cmdline", command.replace(16, 1, 1, '\0'));
}

// A listening socket on the loopback; `port` is its port.
FileDescriptor listening(std::string* port) {
  FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size);
  ::listen(listener.get(), 1);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  *port = std::to_string(ntohs(address.sin_port));
  return listener;
}

// ---- The address -----------------------------------------------------------------------------

TEST(FindCluster, PrefersTheOptionThenTheVariableThenTheFile) {
  Machine machine;
  machine.variables = {{"RAY_TMPDIR", machine.path("tmp")}};
  machine.file("tmp/ray/ray_current_cluster", "192.0.2.3:3\n");
  EXPECT_EQ(find_cluster(machine.places, "").text(), "192.0.2.3:3");
  machine.variables["RAY_ADDRESS"] = "192.0.2.2:2";
  EXPECT_EQ(find_cluster(machine.places, "").text(), "192.0.2.2:2");
  EXPECT_EQ(find_cluster(machine.places, "auto").text(), "192.0.2.2:2");
  EXPECT_EQ(find_cluster(machine.places, " host:1 ").text(), "host:1");
  machine.variables["RAY_ADDRESS"] = "auto";
  EXPECT_EQ(find_cluster(machine.places, "").text(), "192.0.2.3:3");
  machine.variables = {{"TMPDIR", machine.path("tmp")}};
  EXPECT_EQ(find_cluster(machine.places, "").origin, machine.path("tmp/ray/ray_current_cluster"));
}

TEST(FindCluster, SaysHowToStartOne) {
  Machine machine;
  machine.variables = {{"RAY_TMPDIR", machine.path("tmp")}};
  raylet(machine, "12", "192.0.2.9:9", "192.0.2.9");
  EXPECT_THAT(
      error_with(DEISA_ERROR_CONNECTION, [&] { find_cluster(machine.places, ""); }),
      AllOf(HasSubstr("RAY_ADDRESS is not set"),
            HasSubstr(machine.path("tmp/ray/ray_current_cluster")), HasSubstr("ray start --head"),
            HasSubstr("Running on this machine: 192.0.2.9:9")));
}

TEST(FindCluster, KnowsIPv6) {
  Machine machine;
  const ClusterAddress address = find_cluster(machine.places, "[2001:db8::1]:6379");
  EXPECT_EQ(address.host, "2001:db8::1");
  EXPECT_EQ(address.text(), "[2001:db8::1]:6379");
}

TEST(FindCluster, RefusesWhatIsNoAddress) {
  Machine machine;
  for (const char* wrong : {"host", "host:", ":1", "host:0", "host:65536", "host:-1", "host:1x",
                            "ray://host:1", "local", "::1:5", "host:999999999999"}) {
    EXPECT_THAT(
        error_with(DEISA_ERROR_ARGUMENT, [&] { find_cluster(machine.places, wrong); }),
        AllOf(HasSubstr(wrong), HasSubstr("option ray_address"), HasSubstr("expected host:port")));
  }
}

TEST(FindCluster, TakesTheAddressThatRayHasForTheLoopback) {
  Machine machine;
  raylet(machine, "12", "192.0.2.9:6379", "192.0.2.9");
  EXPECT_EQ(find_cluster(machine.places, "127.0.0.1:6379").text(), "192.0.2.9:6379");
  EXPECT_EQ(find_cluster(machine.places, "localhost:6379").text(), "192.0.2.9:6379");
  EXPECT_EQ(find_cluster(machine.places, "127.0.0.1:6380").text(), "127.0.0.1:6380");
  EXPECT_EQ(find_cluster(machine.places, "192.0.2.8:6379").text(), "192.0.2.8:6379");
}

// Names that no test can count on are written as numbers in another form: 127.257 is 127.0.1.1, as
// which Debian knows a machine's own name, and 192.0.521 is 192.0.2.9.
TEST(FindCluster, ComparesNamesByWhatTheyResolveTo) {
  Machine machine;
  raylet(machine, "12", "192.0.2.9:6379", "192.0.2.9");
  for (const char* name : {"LOCALHOST:6379", "127.257:6379", "192.0.521:6379", "[::1]:6379"}) {
    EXPECT_EQ(find_cluster(machine.places, name).text(), "192.0.2.9:6379") << name;
  }
  EXPECT_EQ(find_cluster(machine.places, "192.0.522:6379").text(), "192.0.522:6379");
  EXPECT_EQ(find_cluster(machine.places, "no-such-host.invalid:6379").text(),
            "no-such-host.invalid:6379");
}

TEST(RunningRaylets, ReadsCommandLines) {
  Machine machine;
  EXPECT_TRUE(running_raylets(machine.places).empty());
  raylet(machine, "12", "192.0.2.9:6379", "192.0.2.9");
  machine.file("proc/13/cmdline", std::string("/bin/sh\0--gcs-address=192.0.2.7:1\0", 34));
  machine.file("proc/14/cmdline", "");
  machine.file("proc/self/cmdline", std::string("raylet\0--gcs-address=192.0.2.7:1\0", 33));
  const auto found = running_raylets(machine.places);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].cluster, "192.0.2.9:6379");
  EXPECT_EQ(found[0].node_ip, "192.0.2.9");
}

TEST(FindNodeIp, AsksTheRayletThenTheRoute) {
  Machine machine;
  raylet(machine, "12", "192.0.2.9:6379", "192.0.2.10");
  EXPECT_EQ(find_node_ip(machine.places, {"192.0.2.9", "6379", ""}), "192.0.2.10");
  EXPECT_EQ(find_node_ip(machine.places, {"127.0.0.1", "1", ""}), "127.0.0.1");
}

TEST(FindNodeIp, LeavesItToRayWhereOnlyALoopbackNameIsKnown) {
  Machine machine;
  EXPECT_EQ(find_node_ip(machine.places, {"localhost", "1", ""}), "");
  EXPECT_EQ(find_node_ip(machine.places, {"no-such-host.invalid", "1", ""}), "");
}

TEST(FindNodeIp, PrefersTheRayletOfThisNetworkNamespace) {
  Machine machine;
  machine.link("proc/self/ns/net", "net:[2]");
  for (const char* node : {"1", "2", "3"}) {
    raylet(machine, node, "192.0.2.9:6379", std::string("192.0.2.") + node);
    machine.link(std::string("proc/") + node + "/ns/net", std::string("net:[") + node + "]");
  }
  EXPECT_EQ(find_node_ip(machine.places, {"192.0.2.9", "6379", ""}), "192.0.2.2");
  EXPECT_EQ(find_cluster(machine.places, "127.0.0.1:6379").text(), "192.0.2.9:6379");
}

// ---- Reachable -------------------------------------------------------------------------------

TEST(CheckReachable, AcceptsAListener) {
  std::string port;
  const FileDescriptor listener = listening(&port);
  EXPECT_NO_THROW(check_reachable({"127.0.0.1", port, "test"}, Deadline::after(10)));
  EXPECT_NO_THROW(check_reachable({"localhost", port, "test"}, Deadline::after(10)));
}

TEST(CheckReachable, NamesADeadAddress) {
  std::string port;
  listening(&port);  // and closed again
  EXPECT_THAT(
      error_with(DEISA_ERROR_CONNECTION,
                 [&] { check_reachable({"127.0.0.1", port, "RAY_ADDRESS"}, Deadline::after(10)); }),
      AllOf(HasSubstr("127.0.0.1:" + port + " (from RAY_ADDRESS)"), HasSubstr("refused"),
            HasSubstr("ray start --head")));
}

TEST(CheckReachable, GivesUpOnAListenerThatDoesNotAccept) {
  // A full queue of connections: further ones are not answered, as by a machine behind a firewall.
  std::string port;
  const FileDescriptor listener = listening(&port);
  std::vector<FileDescriptor> queue;
  const auto begin = std::chrono::steady_clock::now();
  std::string message;
  for (int i = 0; i < 10 && message.empty(); ++i) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
    queue.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ::connect(queue.back().get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
  }
  message = error_with(DEISA_ERROR_CONNECTION,
                       [&] { check_reachable({"127.0.0.1", port, "test"}, Deadline::after(0.3)); });
  EXPECT_THAT(message, HasSubstr("timed out"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

TEST(CheckReachable, NamesAnUnknownHost) {
  EXPECT_THAT(
      error_with(
          DEISA_ERROR_CONNECTION,
          [] { check_reachable({"no-such-host.invalid", "1", "test"}, Deadline::after(2)); }),
      AllOf(HasSubstr("no-such-host.invalid:1"), HasSubstr("not known")));
}

// ---- Session ---------------------------------------------------------------------------------

TEST(CheckSession, NamesTheFolderAndTheReason) {
  Machine machine;
  const ClusterAddress address{"192.0.2.9", "6379", ""};
  const auto failure = [&] {
    return error_with(DEISA_ERROR_CONNECTION, [&] { check_session(machine.places, address); });
  };
  EXPECT_EQ(failure(), "no error") << "there is no raylet to be seen";
  raylet(machine, "12", "192.0.2.9:6379", "192.0.2.10", machine.path("session/sockets/raylet"));
  EXPECT_THAT(failure(), AllOf(HasSubstr("session folder " + machine.path("session")),
                               HasSubstr("process 12"), HasSubstr("container")));
  std::filesystem::create_directories(machine.path("session/sockets"));
  EXPECT_THAT(failure(), AllOf(HasSubstr("log folder " + machine.path("session/logs")),
                               HasSubstr("No such file")));
  std::filesystem::create_directories(machine.path("session/logs"));
  EXPECT_THAT(failure(), AllOf(HasSubstr("socket " + machine.path("session/sockets/raylet")),
                               HasSubstr("No such file")));
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un socket{};
  socket.sun_family = AF_UNIX;
  machine.path("session/sockets/raylet").copy(socket.sun_path, sizeof(socket.sun_path) - 1);
  ::bind(listener.get(), reinterpret_cast<sockaddr*>(&socket), sizeof(socket));
  EXPECT_THAT(failure(), HasSubstr("refused")) << "nobody listens";
  ::listen(listener.get(), 1);
  EXPECT_EQ(failure(), "no error");
}

// ---- Token -------------------------------------------------------------------------------------

TEST(NeedsTokenMode, IsFalseWithoutAToken) {
  Machine machine;
  machine.variables = {{"HOME", machine.path("home")}};
  EXPECT_FALSE(needs_token_mode(machine.places));
  machine.file("home/.ray/auth_token", " \n");
  EXPECT_FALSE(needs_token_mode(machine.places));
}

TEST(NeedsTokenMode, IsTrueWithATokenInAnyPlace) {
  Machine machine;
  machine.variables = {{"HOME", machine.path("home")}};
  machine.file("home/.ray/auth_token", "abc\n");
  EXPECT_TRUE(needs_token_mode(machine.places));
  machine.variables = {{"RAY_AUTH_TOKEN", "abc"}};
  EXPECT_TRUE(needs_token_mode(machine.places));
  machine.variables = {{"RAY_AUTH_TOKEN_PATH", machine.path("home/.ray/auth_token")}};
  EXPECT_TRUE(needs_token_mode(machine.places));
}

TEST(NeedsTokenMode, LeavesAModeThatIsSetAlone) {
  Machine machine;
  machine.variables = {{"RAY_AUTH_TOKEN", "abc"}, {"RAY_AUTH_MODE", "disabled"}};
  EXPECT_FALSE(needs_token_mode(machine.places));
  machine.variables["RAY_AUTH_MODE"] = "Token";
  EXPECT_FALSE(needs_token_mode(machine.places));
}

TEST(NeedsTokenMode, RefusesWhatWouldAbortTheProcess) {
  Machine machine;
  machine.variables = {{"HOME", machine.path("home")}, {"RAY_AUTH_MODE", "token"}};
  EXPECT_THAT(
      error_with(DEISA_ERROR_CONNECTION, [&] { needs_token_mode(machine.places); }),
      AllOf(HasSubstr(machine.path("home/.ray/auth_token")), HasSubstr("ray get-auth-token")));
  machine.variables = {{"RAY_AUTH_TOKEN_PATH", machine.path("none")}};
  EXPECT_THAT(error_with(DEISA_ERROR_CONNECTION, [&] { needs_token_mode(machine.places); }),
              HasSubstr("RAY_AUTH_TOKEN_PATH"));
}

}  // namespace
}  // namespace deisa
