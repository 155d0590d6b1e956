// take_part: how a rank finds the relay of its node, or becomes it.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "comm/name_digest.hpp"
#include "comm/relay.hpp"
#include "comm/secret_proof.hpp"
#include "comm/unix_socket.hpp"

namespace deisa {
namespace {

using store::Type;
using Late = FrameSocket::Late;
using Lost = FrameSocket::Lost;

// Seconds between attempts, where two ranks of a node have just missed each other.
constexpr double kPause = 0.005;

// This rank goes to rank 0 by itself.
struct Alone {};

// The rank whose turn it is: connects, binds, or tries again.
class Finder {
 public:
  Finder(const StoreOptions& options, const Deadline& deadline)
      : options_(options), messages_(options), deadline_(deadline), address_(relay_name(options)) {}

  Participation run() {
    try {
      while (true) {
        FileDescriptor fd = unix_socket();
        if (!fd) throw Alone{};
        if (::connect(fd.get(), address_.get(), address_.length) == 0) {
          if (auto client = check_in(std::move(fd))) return {nullptr, std::move(client)};
        } else if (errno == ECONNREFUSED) {
          if (FileDescriptor listener = bind()) return relay(std::move(listener));
        } else if (errno != EAGAIN && errno != EINTR) {
          throw Alone{};
        }
        if (deadline_.expired()) throw messages_.unreachable(problem_);
        ::poll(nullptr, 0, std::min(deadline_.poll_timeout(), static_cast<int>(kPause * 1e3)));
      }
    } catch (const Alone&) {
      return {nullptr, std::make_unique<StoreClient>(options_, deadline_)};
    }
  }

 private:
  // Not open when another rank was faster.
  FileDescriptor bind() const {
    FileDescriptor listener = unix_socket();
    if (!listener) throw Alone{};
    if (::bind(listener.get(), address_.get(), address_.length) != 0) {
      if (errno == EADDRINUSE) return {};
      throw Alone{};
    }
    if (::listen(listener.get(), SOMAXCONN) != 0) throw Alone{};
    return listener;
  }

  Participation relay(FileDescriptor listener) {
    Participation part;
    part.relay = std::make_unique<Relay>(std::move(listener), options_);
    try {
      part.relay->reach_store(deadline_);
    } catch (const NoStoreConnection& none) {
      throw none.error(messages_);
    }
    // It does not relay to itself by another process.
    part.client =
        std::make_unique<StoreClient>(options_, messages_, part.relay->own_line(), StorePeer{});
    return part;
  }

  // Nothing when the relay has ended, and another is to be found.
  std::unique_ptr<StoreClient> check_in(FileDescriptor fd) {
    const Peer peer = unix_peer(fd.get());
    if (!peer.same_user) throw Alone{};
    FrameSocket socket(std::move(fd));
    std::string name = "process " + std::to_string(peer.process) + ", the relay of this node,";
    bool answered = false;
    try {
      const std::string hello = hello_frame(options_);
      bool proven = options_.secret.empty();
      socket.send(hello, deadline_);
      while (true) {
        const FrameSocket::Frame frame = socket.receive(deadline_);
        store::Decoder decoder(frame.payload);
        if (frame.type == Type::kChallenge) {
          const auto proof = answer_challenge(options_.secret, said(hello), frame.payload);
          if (!proof) throw Alone{};
          socket.send(*proof, deadline_);
          proven = true;
          continue;
        }
        if (!proven) throw Alone{};
        switch (frame.type) {
          case Type::kWelcome:
            name = "rank " + std::to_string(decoder.i32()) + " (process " +
                   std::to_string(peer.process) + "), the relay of this node,";
            return std::make_unique<StoreClient>(options_, messages_, std::move(socket),
                                                 StorePeer{name, true});
          case Type::kWaiting:
            answered = true;
            (void)decoder.i32();
            problem_ = std::string(decoder.text());
            break;
          case Type::kFailed:
            throw messages_.failure(decoder.failure());
          case Type::kElsewhere:
          default:
            throw Alone{};
        }
      }
    } catch (const Lost&) {
      return nullptr;
    } catch (const store::Malformed&) {
      throw Alone{};
    } catch (const Late&) {
      if (answered) throw messages_.unreachable(problem_);
      throw messages_.error(DEISA_ERROR_TIMEOUT, name + " has not answered within " +
                                                     messages_.elapsed() + "; it may be suspended");
    }
  }

  const StoreOptions& options_;
  const StoreMessages messages_;
  const Deadline& deadline_;
  const AbstractAddress address_;
  std::string problem_ = "the relay of this node ended";
};

}  // namespace

std::string relay_name(const StoreOptions& options) {
  return "deisa-start-" +
         name_digest(std::to_string(store::kVersion) + "/" + std::to_string(::geteuid()) + "/" +
                     options.master_address + "/" + std::to_string(options.master_port) + "/" +
                     options.node);
}

Participation take_part(const StoreOptions& options, const Deadline& deadline) {
  return Finder(options, deadline).run();
}

}  // namespace deisa
