#include "comm/store_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/shortage.hpp"
#include "comm/refusal.hpp"
#include "comm/secret_proof.hpp"

namespace deisa {
namespace {

using store::Type;
using Late = FrameSocket::Late;
using Lost = FrameSocket::Lost;

// How long one attempt to connect may take, and the pauses between attempts.
constexpr double kAttempt = 5.0;
constexpr double kFirstPause = 0.02;
constexpr double kLongestPause = 0.5;
// After which a silent program is doubted to be rank 0.
constexpr double kSilence = 0.5;

[[noreturn]] void fail(deisa_status status, const std::string& reason) {
  throw NoStoreConnection{false, {status, false, reason, {}}};
}

[[noreturn]] void fail_late(const std::string& problem) {
  throw NoStoreConnection{true, {DEISA_ERROR_TIMEOUT, false, problem, {}}};
}

[[noreturn]] void refused(const Error& why) {
  fail(why.status(), std::string("rank 0 has given up: ") + why.what());
}

class Connector {
 public:
  Connector(const StoreOptions& options, const StoreConnecting& connecting,
            const Deadline& deadline)
      : options_(options), connecting_(connecting), deadline_(deadline) {}

  StoreConnection run() {
    const std::vector<Address> addresses = look_up();
    std::string problem = "no attempt was made";
    // Ranks that start together must not come back together.
    double pause = kFirstPause * (1.0 + 0.01 * (options_.rank % 100));
    while (true) {
      for (const Address& address : addresses) {
        ask(address);
        try {
          StoreConnection connection = connect(address);
          check_in(connection.socket, address);
          return connection;
        } catch (const Late&) {
          problem = address.text() + " did not answer";
        } catch (const Lost& lost) {
          problem = address.text() + ": " + lost.reason;
        }
        if (connecting_.on_problem) connecting_.on_problem(problem);
        if (deadline_.expired()) fail_late(problem);
      }
      if (const auto why =
              question_.answer(Deadline::after(std::min(pause, deadline_.seconds())))) {
        refused(*why);
      }
      if (deadline_.expired()) fail_late(problem);
      pause = std::min(pause * 1.5, kLongestPause);
    }
  }

 private:
  std::vector<Address> look_up() const {
    const std::string& host =
        options_.connect_to.empty() ? options_.master_address : options_.connect_to;
    try {
      return resolve("master_address", host, options_.master_port, deadline_);
    } catch (const Error& error) {
      fail(error.status(), error.what());
    }
  }

  void ask(const Address& address) { question_.ask(address, connecting_.ranks(), options_.size); }

  StoreConnection connect(const Address& address) const {
    const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    StoreConnection connection;
    connection.socket = FrameSocket(FileDescriptor(::socket(address.family(), type, 0)));
    const int fd = connection.socket.fd();
    if (fd < 0 && is_shortage(errno)) {
      fail(DEISA_ERROR_RESOURCE, "no socket: " + system_text(errno));
    }
    if (fd < 0)
      throw Lost{describe_errno(errno)};  // such as an address of IPv6 where there is none
    const Deadline attempt = Deadline::after(std::min(kAttempt, deadline_.seconds()));
    if (::connect(fd, address.get(), address.length) != 0) {
      if (errno != EINPROGRESS) throw Lost{describe_errno(errno)};
      connection.socket.wait_for(POLLOUT, attempt);
      int error = 0;
      socklen_t length = sizeof(error);
      ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) throw Lost{describe_errno(error)};
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const auto local = socket_address(fd);
    // A port that nobody listens on, in the range of outgoing connections, may connect to itself.
    const auto peer = peer_address(fd);
    if (!local || !peer || local->text() == peer->text()) {
      throw Lost{describe_errno(ECONNREFUSED)};
    }
    connection.local = *local;
    return connection;
  }

  void check_in(FrameSocket& socket, const Address& address) {
    const std::string hello = hello_frame(options_);
    socket.send(hello, deadline_);
    // One that says nothing may be another program, for which rank 0 has given up; or rank 0, which
    // has much to do.
    for (bool silent = true; silent;) {
      try {
        socket.wait_for(POLLIN, Deadline::after(std::min(kSilence, deadline_.seconds())));
        silent = false;
      } catch (const Late&) {
        if (const auto why = question_.answer(Deadline::after(0))) refused(*why);
        if (deadline_.expired()) throw;
        ask(address);
      }
    }
    try {
      FrameSocket::Frame frame = socket.receive(deadline_);
      bool proven = options_.secret.empty();
      if (frame.type == Type::kChallenge) {
        const auto proof = answer_challenge(options_.secret, said(hello), frame.payload);
        proven = proof.has_value();
        socket.send(proof ? *proof : no_proof(), deadline_);
        frame = socket.receive(deadline_);
      }
      if (frame.type == Type::kFailed) {
        throw NoStoreConnection{false, store::Decoder(frame.payload).failure()};
      }
      if (frame.type == Type::kWelcome && proven) return;
      if (frame.type == Type::kWelcome) {
        fail(DEISA_ERROR_ARGUMENT,
             "who answers there does not have this secret: set DEISA_SECRET to the same value for "
             "every rank");
      }
    } catch (const store::Malformed&) {
    }
    fail(DEISA_ERROR_COMMUNICATOR,
         "another program answers there: give all ranks another master_port");
  }

  const StoreOptions& options_;
  const StoreConnecting& connecting_;
  const Deadline& deadline_;
  RefusalQuestion question_;
};

}  // namespace

std::string hello_frame(const StoreOptions& options) {
  return store::Encoder(Type::kHello)
      .raw(store::kMagic)
      .u16(store::kVersion)
      .i32(options.rank)
      .i32(options.size)
      .i32(static_cast<int32_t>(::getpid()))
      .text(options.secret.empty() ? "" : random_nonce())
      .text(options.node)
      .frame();
}

std::string_view said(const std::string& frame) {
  return std::string_view(frame).substr(store::kLengthBytes);
}

StoreConnection connect_to_store(const StoreOptions& options, const StoreConnecting& connecting,
                                 const Deadline& deadline) {
  return Connector(options, connecting, deadline).run();
}

}  // namespace deisa
