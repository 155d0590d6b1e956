#include "comm/store_server.hpp"

#include <unistd.h>

#include <optional>

#include "base/address.hpp"
#include "comm/frame_server.hpp"
#include "comm/listening_socket.hpp"
#include "comm/store_state.hpp"

namespace deisa {
namespace {

FrameServer::Limits limits(const StoreServer::Options& options) {
  FrameServer::Limits limits;
  limits.hello_seconds = options.hello_seconds;
  limits.frame_seconds = options.frame_seconds;
  limits.max_bytes = options.max_bytes;
  limits.max_frame = options.max_frame;
  limits.max_strangers = options.max_strangers + static_cast<size_t>(options.size);
  return limits;
}

}  // namespace

class StoreServer::Impl : public FrameServer::Handler {
 public:
  Impl(const Options& options, const Deadline& deadline)
      : deadline_(deadline),
        state_(options.size, options.secret, options.max_bytes,
               [this](uint64_t id, const std::string& frame) { server_->send(id, frame); }) {
    std::vector<FileDescriptor> listeners =
        bind_for_ranks(options.master_address, options.port, SOCK_STREAM);
    address_ = socket_address(listeners.front().get());
    // As many nodes may come as there are ranks.
    raise_file_limit(static_cast<size_t>(options.size));
    server_.emplace(std::move(listeners), limits(options), *this, "deisa-store");
    server_->start();
  }

  FrameServer::Admission hello(uint64_t connection, std::string_view frame, int fd) override {
    const auto peer = peer_address(fd);
    return state_.hello(connection, frame, peer ? peer->text() : "an unknown address",
                        socket_address(fd));
  }
  bool request(uint64_t connection, std::string_view frame) override {
    return state_.request(connection, frame);
  }
  void gone(uint64_t connection) override { state_.gone(connection); }
  void round() override {
    if (deadline_.expired()) state_.expire();
  }
  int patience() override { return deadline_.expired() ? INT_MAX : deadline_.poll_timeout(); }
  void out_of_files(const std::string& reason) override { state_.refuse_more(reason); }

  const std::optional<Address>& address() const { return address_; }

 private:
  const Deadline deadline_;
  store::State state_;
  std::optional<Address> address_;
  std::optional<FrameServer> server_;  // ends first
};

StoreServer::StoreServer(const Options& options, const Deadline& deadline)
    : impl_(std::make_unique<Impl>(options, deadline)) {}

StoreServer::~StoreServer() = default;

int StoreServer::port() const {
  const auto address = impl_->address();
  if (!address) return -1;
  return address->port();
}

std::string StoreServer::local_host() const {
  const auto address = impl_->address();
  return address && !address->is_any() ? address->host() : "127.0.0.1";
}

}  // namespace deisa
