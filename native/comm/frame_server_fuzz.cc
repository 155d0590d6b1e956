// Bytes on the connections of the server behind the rendezvous store, through its thread: frames in pieces, several at
// once, cut off. Input: steps: a byte, connection and action, and for bytes their number and they.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <future>
#include <memory>

#include "base/testing/fuzz.hpp"
#include "comm/frame_server.hpp"
#include "comm/store_state.hpp"
#include "comm/unix_socket.hpp"

namespace {

using deisa::FileDescriptor;
using deisa::FrameServer;
using namespace deisa::fuzz;

constexpr size_t kConnections = 4;

class Server : public FrameServer::Handler {
 public:
  Server() : address_("deisa-fuzz-" + std::to_string(::getpid())) {
    FileDescriptor listener = deisa::unix_socket();
    check(::bind(listener.get(), address_.get(), address_.length) == 0 &&
              ::listen(listener.get(), 16) == 0,
          "there is a socket");
    std::vector<FileDescriptor> listeners;
    listeners.push_back(std::move(listener));
    FrameServer::Limits limits;
    limits.max_bytes = 1 << 20;
    limits.max_frame = 1 << 16;
    server_ = std::make_unique<FrameServer>(std::move(listeners), limits, *this, "fuzz");
    renew();
    server_->start();
  }
  deisa::store::Admission hello(uint64_t connection, std::string_view frame, int) override {
    return state_->hello(connection, frame, "192.0.2.1:1", {});
  }
  bool request(uint64_t connection, std::string_view frame) override {
    return state_->request(connection, frame);
  }
  void gone(uint64_t connection) override { state_->gone(connection); }
  void round() override {}
  void out_of_files(const std::string&) override { check(false, "there are files"); }

  FileDescriptor connect() const {
    FileDescriptor fd = deisa::unix_socket();
    check(::connect(fd.get(), address_.get(), address_.length) == 0, "it listens");
    return fd;
  }
  // Another store, once every connection has gone.
  void start_again() {
    std::promise<void> done;
    server_->post([&] {
      renew();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  void renew() {
    state_ = std::make_unique<deisa::store::State>(
        3, "", size_t{1} << 16,
        [this](uint64_t id, const std::string& frame) { server_->send(id, frame); });
  }

  const deisa::AbstractAddress address_;
  std::unique_ptr<deisa::store::State> state_;
  std::unique_ptr<FrameServer> server_;
};

// Until the server has closed it.
void drain(const FileDescriptor& connection) {
  char bytes[4096];
  while (true) {
    const ssize_t got = ::recv(connection.get(), bytes, sizeof(bytes), 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return;
    if (got > 0) continue;
    pollfd entry = {connection.get(), POLLIN, 0};
    // libFuzzer's timer interrupts it.
    check(::poll(&entry, 1, 20000) != 0, "the server closes a connection whose client has ended");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Server server;
  Input input(data, size);
  std::array<FileDescriptor, kConnections> connections;
  while (!input.empty()) {
    const uint8_t step = input.byte();
    FileDescriptor& connection = connections[step % kConnections];
    if (step >= 0xF0) {
      connection.reset();
      continue;
    }
    std::string bytes(input.part());
    if (!connection) connection = server.connect();
    // The length of a frame, unless it is to be anything.
    if ((step & 4) == 0) {
      std::string length(deisa::store::kLengthBytes, '\0');
      for (size_t i = 0; i < length.size(); ++i)
        length[i] = static_cast<char>(bytes.size() >> (8 * i) & 0xFFu);
      bytes = length + bytes;
    }
    (void)!::send(connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  for (const FileDescriptor& connection : connections) {
    if (connection) ::shutdown(connection.get(), SHUT_WR);
  }
  for (const FileDescriptor& connection : connections) {
    if (connection) drain(connection);
  }
  server.start_again();
  return 0;
}
