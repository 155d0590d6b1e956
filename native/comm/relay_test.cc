// The relay of a node among strangers, and what it leaves. The ranks are threads of this process.
#include "comm/relay.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <thread>

#include "comm/store_host.hpp"
#include "comm/store_server.hpp"
#include "comm/unix_socket.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;

Deadline soon() { return Deadline::after(20); }

class RelayTest : public ::testing::Test {
 protected:
  void host(int size) {
    StoreServer::Options options;
    options.size = size;
    options.master_address = "127.0.0.1";
    server = std::make_unique<StoreServer>(options, Deadline::after(60));
  }
  StoreOptions rank(int rank, int size) const {
    StoreOptions options;
    options.rank = rank;
    options.size = size;
    options.master_address = "127.0.0.1";
    options.master_port = server->port();
    options.node = "n";
    return options;
  }
  // A socket of this user that is connected to the relay of the ranks.
  FileDescriptor stranger(const StoreOptions& options) const {
    FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const AbstractAddress address(relay_name(options));
    EXPECT_EQ(::connect(fd.get(), address.get(), address.length), 0);
    return fd;
  }
  static bool is_closed(const FileDescriptor& fd) {
    char bytes[4096];
    timeval patience = {20, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ssize_t got = 1;
    while (got > 0) got = ::recv(fd.get(), bytes, sizeof(bytes), 0);
    return got == 0 || errno == ECONNRESET;
  }
  static size_t threads() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& one : std::filesystem::directory_iterator("/proc/self/task"))
      ++count;
    return count;
  }
  // A child of another user, which ends with the result of `body`; -1 where that is not permitted.
  template <typename Body>
  static int as_another_user(const Body& body) {
    if (::geteuid() != 0) return -1;
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(60);
      std::_Exit(::setresuid(65534, 65534, 65534) == 0 ? body() : 99);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
  }

  std::unique_ptr<StoreServer> server;
};

// So many ranks go through the whole rendezvous, by way of one relay.
void meet(const StoreOptions& first, int ranks) {
  std::vector<std::thread> all;
  for (int id = 0; id < ranks; ++id) {
    all.emplace_back([&, id] {
      StoreOptions options = first;
      options.rank = id;
      const Participation part = take_part(options, soon());
      EXPECT_EQ(part.client->rendezvous(soon()), "127.0.0.1");
      EXPECT_EQ(part.client->local_address().host(), "127.0.0.1");
      EXPECT_EQ(part.client->nodes().ranks.size(), 1u);
      if (id == 0) part.client->set("key", std::string(100000, 'x'), soon());
      EXPECT_EQ(part.client->get("key", soon()), std::string(100000, 'x'));
      const std::string own = std::to_string(id);
      part.client->set("of " + own, own, soon());
      for (int of = 0; of < ranks; ++of) {
        EXPECT_EQ(part.client->get("of " + std::to_string(of), soon()), std::to_string(of));
      }
    });
  }
  for (auto& one : all) one.join();
}

TEST_F(RelayTest, NoThreadAndNoSocketIsLeft) {
  std::thread([] {}).join();  // with the first one, ThreadSanitizer starts one of its own
  const size_t before = threads();
  host(8);
  const StoreOptions options = rank(0, 8);
  meet(options, 8);
  server.reset();
  // The kernel lists a thread for a moment after it was joined, then too when `before` was counted.
  const Deadline deadline = soon();
  while (threads() > before && !deadline.expired()) std::this_thread::yield();
  EXPECT_LE(threads(), before);
  const AbstractAddress address(relay_name(options));
  const FileDescriptor fd = unix_socket();
  EXPECT_NE(::connect(fd.get(), address.get(), address.length), 0);
  EXPECT_EQ(errno, ECONNREFUSED);
}

TEST_F(RelayTest, ItsNameIsThatOfOneStart) {
  host(2);
  const StoreOptions options = rank(0, 2);
  StoreOptions other = rank(1, 2);
  EXPECT_EQ(relay_name(options), relay_name(other)) << "of every rank of a node";
  other.node = "m";
  EXPECT_NE(relay_name(options), relay_name(other));
  other = options;
  other.master_port += 1;
  EXPECT_NE(relay_name(options), relay_name(other));
  other = options;
  other.master_address = "127.0.0.2";
  EXPECT_NE(relay_name(options), relay_name(other));
  EXPECT_LT(relay_name(options).size(), 100u) << "it fits into an address";
}

TEST_F(RelayTest, StrangersNeitherEndNorJoinAStart) {
  host(3);
  const Participation zero = take_part(rank(0, 3), soon());
  ASSERT_NE(zero.relay, nullptr);
  std::mt19937 random(3);
  std::vector<FileDescriptor> silent;
  for (int i = 0; i < 200; ++i) {
    silent.push_back(stranger(rank(0, 3)));
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    if (i % 2 == 0) bytes = Encoder(static_cast<Type>(random() % 80)).raw(bytes).frame();
    if (i % 5 == 0) bytes = "\xff\xff\xff\xff";
    if (i % 7 != 0) (void)::send(silent.back().get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  EXPECT_TRUE(is_closed(silent[5]));
  EXPECT_EQ(to_text(find_host("127.0.0.1", server->port())->attendance.came), "0");
  const Participation one = take_part(rank(1, 3), soon());
  const Participation two = take_part(rank(2, 3), soon());
  EXPECT_EQ(one.relay, nullptr);
  for (const auto* part : {&zero, &one, &two}) part->client->rendezvous(soon());
}

TEST_F(RelayTest, AMemberThatBreaksTheProtocolIsNamed) {
  host(3);
  const Participation zero = take_part(rank(0, 3), soon());
  const auto broken = stranger(rank(1, 3));
  const std::string hello = hello_frame(rank(1, 3));
  ASSERT_EQ(::send(broken.get(), hello.data(), hello.size(), 0),
            static_cast<ssize_t>(hello.size()));
  const Deadline deadline = soon();
  while (count_ranks(find_host("127.0.0.1", server->port())->attendance.came) < 2 &&
         !deadline.expired()) {
    std::this_thread::yield();
  }
  (void)::send(broken.get(), "\xff\xff\xff\x7f", 4, MSG_NOSIGNAL);
  EXPECT_TRUE(is_closed(broken));
  try {
    zero.client->rendezvous(soon());
    ADD_FAILURE() << "rank 1 is gone";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("rank 1 of 3 (process "), std::string::npos)
        << error.what();
  }
}

TEST_F(RelayTest, AnotherUserIsNotLetIn) {
  host(2);
  const StoreOptions options = rank(1, 2);
  const Participation zero = take_part(rank(0, 2), soon());
  const AbstractAddress address(relay_name(options));
  const int code = as_another_user([&] {
    const FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), address.get(), address.length) != 0) return 2;
    const std::string hello = hello_frame(options);
    (void)::send(fd.get(), hello.data(), hello.size(), MSG_NOSIGNAL);
    char byte = 0;
    return ::recv(fd.get(), &byte, 1, 0) <= 0 ? 0 : 1;
  });
  if (code == -1) GTEST_SKIP() << "only root can be another user";
  EXPECT_EQ(code, 0) << "it had an answer";
  EXPECT_EQ(to_text(find_host("127.0.0.1", server->port())->attendance.came), "0");
  const Participation one = take_part(options, soon());
  zero.client->rendezvous(soon());
  one.client->rendezvous(soon());
}

TEST_F(RelayTest, ARelayOfAnotherUserIsNotTrusted) {
  host(2);
  const StoreOptions options = rank(1, 2);
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  const AbstractAddress address(relay_name(options));
  // Held while the ranks come.
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t squatter = ::fork();
  if (squatter == 0) {
    ::alarm(60);
    if (::setresuid(65534, 65534, 65534) != 0) std::_Exit(1);
    const FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(fd.get(), address.get(), address.length) != 0 || ::listen(fd.get(), 9) != 0) {
      std::_Exit(2);
    }
    (void)!::write(ready[1], "x", 1);
    FileDescriptor victim(::accept(fd.get(), nullptr, nullptr));
    char byte = 0;
    std::_Exit(::recv(victim.get(), &byte, 1, 0) > 0 ? 3 : 0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const Participation one = take_part(options, soon());
  EXPECT_EQ(one.relay, nullptr);
  const Participation zero = take_part(rank(0, 2), soon());
  zero.client->rendezvous(soon());
  one.client->rendezvous(soon());
  int status = 0;
  ::waitpid(squatter, &status, 0);
  EXPECT_EQ(status, 0) << "it was told a secret";
  for (const int end : ready) ::close(end);
}

}  // namespace
}  // namespace deisa
