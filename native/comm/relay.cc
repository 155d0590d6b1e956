#include "comm/relay.hpp"

#include <sys/socket.h>

#include <mutex>
#include <optional>
#include <vector>

#include "base/shortage.hpp"
#include "comm/frame_server.hpp"
#include "comm/listening_socket.hpp"
#include "comm/relay_state.hpp"
#include "comm/unix_socket.hpp"

namespace deisa {
namespace {

FrameServer::Limits limits(const StoreOptions& options) {
  FrameServer::Limits limits;
  limits.max_frame = store::kMaxAnswer;
  limits.max_strangers += static_cast<size_t>(options.size);
  return limits;
}

std::vector<FileDescriptor> only(FileDescriptor fd) {
  std::vector<FileDescriptor> all;
  all.push_back(std::move(fd));
  return all;
}

}  // namespace

class Relay::Impl : public FrameServer::Handler {
 public:
  Impl(FileDescriptor listener, const StoreOptions& options)
      : options_(options), state_(options, [this](uint64_t id, const std::string& frame) {
          server_->send(id, frame);
        }) {
    // All ranks may be on this node.
    raise_file_limit(static_cast<size_t>(options.size));
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) {
      throw Error(DEISA_ERROR_RESOURCE,
                  "no socket for the ranks of this node: " + system_text(errno));
    }
    own_ = FrameSocket(FileDescriptor(ends[0]));
    FileDescriptor served(ends[1]);
    server_.emplace(only(std::move(listener)), limits(options), *this, "deisa-relay");
    state_.add_own(server_->add(std::move(served)));
    publish();
    server_->start();
  }

  FrameServer::Admission hello(uint64_t connection, std::string_view frame, int fd) override {
    if (!unix_peer(fd).same_user) throw store::Malformed("another user");
    const FrameServer::Admission admission = state_.hello(connection, frame);
    publish();
    return admission;
  }
  bool request(uint64_t connection, std::string_view frame) override {
    return state_.request(connection, frame);
  }
  void gone(uint64_t connection) override {
    state_.gone(connection);
    publish();
  }
  void round() override { state_.report(); }
  void out_of_files(const std::string& reason) override {
    state_.give_up("as the relay of its node it cannot take all ranks of the node in (" + reason +
                   "). The hard limit of open files is " + std::to_string(raise_file_limit(0)) +
                   "; " + kRaiseFiles);
  }
  void end() override { state_.say_goodbye(); }

  void reach_store(const Deadline& deadline) {
    const StoreConnecting connecting = {
        [this] {
          const std::lock_guard<std::mutex> lock(mutex_);
          return ranks_;
        },
        [this](const std::string& problem) {
          server_->post([this, problem] { state_.note_problem(problem); });
        }};
    try {
      StoreConnection connection = connect_to_store(options_, connecting, deadline);
      // A function that is copied cannot own it.
      auto fd = std::make_shared<FileDescriptor>(connection.socket.release());
      server_->post([this, fd, own = connection.local.host()] {
        state_.reached(server_->add_upstream(std::move(*fd)), own);
      });
    } catch (const NoStoreConnection& none) {
      server_->post([this, none] {
        if (!none.late) {
          state_.fail(none.failure);
          return;
        }
        for (const uint64_t line : state_.lines()) server_->close(line);
      });
      throw;
    }
  }

  FrameSocket own_line() { return std::move(own_); }

 private:
  void publish() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ranks_ = state_.ranks();
  }

  const StoreOptions options_;
  store::RelayState state_;
  FrameSocket own_;
  std::mutex mutex_;
  RankRanges ranks_;                   // that have come
  std::optional<FrameServer> server_;  // ends first
};

Relay::Relay(FileDescriptor listener, const StoreOptions& options)
    : impl_(std::make_unique<Impl>(std::move(listener), options)) {}

Relay::~Relay() = default;

FrameSocket Relay::own_line() { return impl_->own_line(); }

void Relay::reach_store(const Deadline& deadline) { impl_->reach_store(deadline); }

}  // namespace deisa
