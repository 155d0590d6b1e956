// Both ends of a connection show that they have the secret, which no frame carries.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "base/address.hpp"
#include "comm/frame_socket.hpp"
#include "comm/secret_proof.hpp"
#include "comm/store_client.hpp"
#include "comm/store_connection.hpp"
#include "comm/store_server.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;

Deadline soon() { return Deadline::after(20); }

const std::string kSecret = "the secret of this test";

class Secret : public ::testing::Test {
 protected:
  void host() {
    StoreServer::Options options;
    options.size = 2;
    options.master_address = "127.0.0.1";
    options.secret = kSecret;
    server = std::make_unique<StoreServer>(options, Deadline::after(60));
    port = server->port();
  }
  StoreOptions rank(int id, const std::string& secret) const {
    StoreOptions options;
    options.rank = id;
    options.size = 2;
    options.master_address = "127.0.0.1";
    options.master_port = port;
    options.secret = secret;
    return options;
  }
  FrameSocket connect() const {
    const auto address = parse_address("127.0.0.1", port);
    FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), address->get(), address->length), 0);
    return FrameSocket(std::move(fd));
  }
  // What is said to a HELLO, then to the proof that `prove` makes of the challenge.
  template <typename Prove>
  FrameSocket::Frame answer(const std::string& hello, const Prove& prove) const {
    FrameSocket socket = connect();
    socket.send(hello, soon());
    const FrameSocket::Frame challenge = socket.receive(soon());
    EXPECT_EQ(challenge.type, Type::kChallenge);
    socket.send(prove(challenge.payload), soon());
    return socket.receive(soon());
  }
  // What a rank with the secret says of whoever listens at a port and answers HELLO by this.
  std::string said_of(const std::string& frame) {
    const FileDescriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto local = parse_address("127.0.0.1", 0);
    EXPECT_EQ(::bind(listener.get(), local->get(), local->length), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    port = socket_address(listener.get())->port();
    std::thread other([&] {
      FrameSocket socket(FileDescriptor(::accept(listener.get(), nullptr, nullptr)));
      const FrameSocket::Frame hello = socket.receive(soon());
      EXPECT_EQ(hello.type, Type::kHello);
      EXPECT_EQ(hello.payload.find(kSecret), std::string::npos);
      socket.send(frame, soon());
      if (frame == Encoder(Type::kWelcome).i32(-1).frame()) return;
      const FrameSocket::Frame proof = socket.receive(soon());
      EXPECT_EQ(Encoder(proof.type).raw(proof.payload).frame(), no_proof())
          << "it is told nothing of the secret";
      socket.send(Encoder(Type::kWelcome).i32(-1).frame(), soon());
    });
    std::string said;
    try {
      const StoreClient client(rank(1, kSecret), soon());
    } catch (const Error& error) {
      said = error.what();
    }
    other.join();
    return said;
  }

  std::unique_ptr<StoreServer> server;
  int port = 0;
};

// RFC 4231, test case 2.
TEST_F(Secret, TheProofIsAnHmacSha256) {
  std::string hex;
  for (const char byte : hmac_sha256("Jefe", "what do ya want for nothing?")) {
    hex += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
    hex += "0123456789abcdef"[static_cast<unsigned char>(byte) & 15];
  }
  EXPECT_EQ(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST_F(Secret, NoFrameCarriesItAndARecordedProofIsOfNoUse) {
  host();
  const std::string hello = hello_frame(rank(1, kSecret));
  EXPECT_NE(hello, hello_frame(rank(1, kSecret))) << "a nonce is new each time";
  std::string recorded;
  const auto first = answer(hello, [&](const std::string& challenge) {
    EXPECT_EQ((hello + challenge).find(kSecret), std::string::npos);
    recorded = answer_challenge(kSecret, said(hello), challenge).value();
    EXPECT_EQ(recorded.find(kSecret), std::string::npos);
    return recorded;
  });
  EXPECT_EQ(first.type, Type::kWelcome);
  host();
  EXPECT_EQ(answer(hello, [&](const std::string&) { return recorded; }).type, Type::kFailed);
}

TEST_F(Secret, TheServersOwnProofIsNone) {
  host();
  const auto reflected = answer(hello_frame(rank(1, kSecret)), [](const std::string& challenge) {
    store::Decoder decoder(challenge);
    (void)decoder.text();
    return Encoder(Type::kProof).text(decoder.text()).frame();
  });
  EXPECT_EQ(reflected.type, Type::kFailed);
  // A proof is of one HELLO.
  const std::string other = hello_frame(rank(0, kSecret));
  const auto of_another = answer(hello_frame(rank(1, kSecret)), [&](const std::string& challenge) {
    store::Decoder decoder(challenge);
    return Encoder(Type::kProof)
        .text(secret_proof(kSecret, Role::kClient, decoder.text(), said(other)))
        .frame();
  });
  EXPECT_EQ(of_another.type, Type::kFailed);
  // Nobody of them has come.
  const StoreClient zero(rank(0, kSecret), soon());
  const StoreClient one(rank(1, kSecret), soon());
}

TEST_F(Secret, ARankTrustsNoServerWithoutIt) {
  EXPECT_NE(said_of(Encoder(Type::kWelcome).i32(-1).frame()).find("does not have this secret"),
            std::string::npos);
  const std::string guessed =
      Encoder(Type::kChallenge).text(random_nonce()).text(random_nonce()).frame();
  EXPECT_NE(said_of(guessed).find("does not have this secret"), std::string::npos);
}

}  // namespace
}  // namespace deisa
