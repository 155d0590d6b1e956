// The rendezvous store among strangers: whatever they send, the ranks meet.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <random>
#include <thread>

#include "base/file_descriptor.hpp"
#include "comm/store_client.hpp"
#include "comm/store_server.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;

Deadline soon() { return Deadline::after(20); }

class Strangers : public ::testing::Test {
 protected:
  void start(const StoreServer::Options& given = {}) {
    StoreServer::Options options = given;
    options.size = 2;
    options.master_address = "127.0.0.1";
    server_ = std::make_unique<StoreServer>(options, Deadline::after(60));
  }

  FileDescriptor connect() const {
    FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(server_->port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  static void send(const FileDescriptor& fd, const std::string& bytes) {
    // The server may have closed already.
    static_cast<void>(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

  // Whether the server closes the connection in time.
  static bool is_dropped(const FileDescriptor& fd) {
    const Deadline deadline = soon();
    char bytes[4096];
    while (!deadline.expired()) {
      pollfd entry = {fd.get(), POLLIN, 0};
      if (::poll(&entry, 1, deadline.poll_timeout()) > 0 &&
          ::recv(fd.get(), bytes, sizeof(bytes), 0) <= 0) {
        return true;
      }
    }
    return false;
  }

  // A client whose server has answered with this, and nothing else.
  static StoreClient client_of(Encoder answer) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    const FileDescriptor server(ends[1]);
    send(server, answer.frame());
    StoreClient::Options options;
    options.size = 2;
    return {options, StoreMessages(options), FrameSocket(FileDescriptor(ends[0])), {}};
  }

  StoreClient::Options rank(int rank) const {
    StoreClient::Options options;
    options.rank = rank;
    options.size = 2;
    options.master_address = "127.0.0.1";
    options.master_port = server_->port();
    return options;
  }

  void the_rendezvous_succeeds() const {
    StoreClient zero(rank(0), soon());
    StoreClient one(rank(1), soon());
    zero.rendezvous(soon());
    one.rendezvous(soon());
  }

  std::string hello(int id) const {
    return Encoder(Type::kHello)
        .raw(store::kMagic)
        .u16(store::kVersion)
        .i32(id)
        .i32(2)
        .i32(1234)
        .text("")
        .text("")
        .frame();
  }

  std::unique_ptr<StoreServer> server_;
};

TEST_F(Strangers, OtherProtocolsAreDropped) {
  start();
  const auto http = connect();
  send(http, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_TRUE(is_dropped(http));
  const auto early = connect();  // a request before HELLO
  send(early, Encoder(Type::kRendezvous).frame());
  EXPECT_TRUE(is_dropped(early));
  the_rendezvous_succeeds();
}

TEST_F(Strangers, RandomBytesAreDropped) {
  start();
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const auto fd = connect();
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    // Half of them look like frames.
    if (i % 2 == 0) bytes = Encoder(static_cast<Type>(random() % 80)).raw(bytes).frame();
    send(fd, bytes);
  }
  the_rendezvous_succeeds();
}

TEST_F(Strangers, DamagedHellosAreDropped) {
  start();
  std::mt19937 random(2);
  for (int i = 0; i < 300; ++i) {
    std::string bytes = hello(0);
    // The first bytes only: a rank or size that is valid by chance would end the rendezvous.
    bytes[random() % 13] ^= static_cast<char>(1 + random() % 255);
    const auto fd = connect();
    send(fd, bytes);
  }
  the_rendezvous_succeeds();
}

TEST_F(Strangers, OversizeFramesAreDropped) {
  start();
  const auto huge = connect();
  send(huge, "\xff\xff\xff\xff");
  EXPECT_TRUE(is_dropped(huge));
  const auto empty = connect();
  send(empty, std::string(4, '\0'));
  EXPECT_TRUE(is_dropped(empty));
  const auto large = connect();
  send(large, Encoder(Type::kHello).raw(std::string(100000, 'x')).frame());
  EXPECT_TRUE(is_dropped(large));
  the_rendezvous_succeeds();
}

TEST_F(Strangers, SlowOnesAreDroppedAtTheirDeadline) {
  StoreServer::Options options;
  options.hello_seconds = 0.5;
  start(options);
  const auto silent = connect();
  const auto slow = connect();
  const std::string bytes = hello(0);
  // One byte at a time, each well within any time-out for a single read.
  bool dropped = false;
  const Deadline deadline = soon();
  for (size_t i = 0; i + 1 < bytes.size() && !dropped && !deadline.expired(); ++i) {
    send(slow, bytes.substr(i, 1));
    pollfd entry = {slow.get(), POLLIN, 0};
    dropped = ::poll(&entry, 1, 100) > 0;
  }
  EXPECT_TRUE(dropped);
  EXPECT_TRUE(is_dropped(silent));
  the_rendezvous_succeeds();
}

TEST_F(Strangers, ManyDoNotKeepTheRanksOut) {
  StoreServer::Options options;
  options.max_strangers = 10;
  start(options);
  std::vector<FileDescriptor> strangers;
  for (int i = 0; i < 200; ++i) strangers.push_back(connect());
  EXPECT_TRUE(is_dropped(strangers.front()));
  the_rendezvous_succeeds();
}

TEST_F(Strangers, ARankThatBreaksTheProtocolIsNamed) {
  start();
  const auto broken = connect();
  send(broken, hello(1));
  StoreClient zero(rank(0), soon());
  send(broken, "\xff\xff\xff\x7f");
  EXPECT_TRUE(is_dropped(broken));
  try {
    zero.rendezvous(soon());
    FAIL() << "rank 1 is gone";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("rank 1 of 2"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("came and then left"), std::string::npos);
  }
}

TEST_F(Strangers, AMemberCannotFillTheMemory) {
  StoreServer::Options options;
  options.max_bytes = 1 << 20;
  start(options);
  StoreClient zero(rank(0), soon());
  const std::string value(100000, 'x');
  try {
    for (int i = 0; i < 100; ++i) zero.set("key " + std::to_string(i), value, soon());
    FAIL() << "10 MB went into 1 MiB";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_RESOURCE) << error.what();
  }
}

TEST_F(Strangers, AnotherProgramAtTheMastersPortIsNamed) {
  const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(::bind(listener.get(), raw, length), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  ASSERT_EQ(::getsockname(listener.get(), raw, &length), 0);
  StoreClient::Options options;
  options.size = 2;
  options.master_address = "127.0.0.1";
  options.master_port = ntohs(address.sin_port);
  std::thread other([&] {
    const FileDescriptor fd(::accept(listener.get(), nullptr, nullptr));
    send(fd, "SSH-2.0-OpenSSH_9.2\r\n");
    is_dropped(fd);
  });
  try {
    StoreClient client(options, soon());
    ADD_FAILURE() << "that was no rendezvous";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_COMMUNICATOR);
    EXPECT_NE(std::string(error.what()).find("another program"), std::string::npos) << error.what();
  }
  other.join();
}

TEST_F(Strangers, AnAnswerThatEndsEarlyIsAnErrorOfTheRank) {
  const auto expect_invalid = [](Encoder answer, const std::function<void(StoreClient&)>& call) {
    StoreClient client = client_of(std::move(answer));
    try {
      call(client);
      ADD_FAILURE() << "it was taken for an answer";
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), DEISA_ERROR_COMMUNICATOR);
      EXPECT_NE(std::string(error.what()).find("rank 0 of 2: rendezvous at"), std::string::npos)
          << error.what();
      EXPECT_NE(std::string(error.what()).find("is invalid (a frame ends early)"),
                std::string::npos)
          << error.what();
    }
  };
  expect_invalid(Encoder(Type::kValue),
                 [](StoreClient& client) { (void)client.get("key", soon()); });
  expect_invalid(Encoder(Type::kValue).text("key").u32(5),
                 [](StoreClient& client) { (void)client.get("key", soon()); });
  expect_invalid(Encoder(Type::kComplete).text("host"),
                 [](StoreClient& client) { (void)client.rendezvous(soon()); });
  expect_invalid(Encoder(Type::kExchanged).u32(0).text("x"),
                 [](StoreClient& client) { (void)client.exchange(0, 2, "xy", soon()); });
}

}  // namespace
}  // namespace deisa
