#include "comm/store_server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <list>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/signals.hpp"
#include "comm/listening_socket.hpp"
#include "comm/store_state.hpp"

namespace deisa {
namespace {

constexpr uint64_t kListener = 0;
constexpr uint64_t kWakeUp = 1;
constexpr uint64_t kFirstConnection = 2;
constexpr int kTick = 100;  // milliseconds between looks at the deadlines
constexpr double kLastWords = 1.0;

struct Connection {
  FileDescriptor fd;
  bool member = false;   // checked in
  bool closing = false;  // once everything is sent
  bool dropped = false;  // at once
  std::string in;
  std::string out;
  size_t sent = 0;
  uint32_t events = EPOLLIN;
  std::optional<Deadline> due;
  std::list<uint64_t>::iterator stranger;

  bool sending() const { return sent < out.size(); }
  size_t counted = 0;  // in the sum of all buffers
};

}  // namespace

class StoreServer::Impl {
 public:
  Impl(const Options& options, const Deadline& deadline)
      : options_(options),
        deadline_(deadline),
        state_(options.size, options.secret, options.max_bytes,
               [this](uint64_t id, const std::string& frame) { queue(id, frame); }) {
    listeners_ = bind_for_ranks(options.master_address, options.port, SOCK_STREAM);
    allow_files(static_cast<size_t>(options.size),
                "rank 0, to which all " + std::to_string(options.size) + " ranks connect");
    epoll_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
    wake_up_ = FileDescriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!epoll_ || !wake_up_ || !watch_listeners(EPOLL_CTL_ADD, EPOLLIN) ||
        !watch(EPOLL_CTL_ADD, wake_up_.get(), kWakeUp, EPOLLIN)) {
      throw Error(DEISA_ERROR_RESOURCE,
                  "rank 0 cannot host the rendezvous: " + std::generic_category().message(errno));
    }
    const AllSignalsBlocked blocked;
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() {
    const uint64_t one = 1;
    // The counter cannot overflow, so this cannot fail.
    [[maybe_unused]] const auto written = ::write(wake_up_.get(), &one, sizeof(one));
    thread_.join();
  }

  std::optional<Address> address() const { return socket_address(listeners_.front().get()); }

 private:
  void run() noexcept {
    std::array<epoll_event, 256> events;
    while (true) {
      const int timeout = stopping_ ? 10 : deadline_.poll_timeout(kTick);
      const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                     state_.complete() || state_.failed() ? kTick : timeout);
      for (int i = 0; i < ready; ++i) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        if (event.data.u64 == kWakeUp) {
          stopping_ = Deadline::after(kLastWords);
          watch(EPOLL_CTL_DEL, wake_up_.get(), kWakeUp, 0);
        } else if (event.data.u64 == kListener) {
          guard([&] { accept_all(); });
        } else {
          serve(event.data.u64, event.events);
        }
      }
      if (deadline_.expired()) guard([&] { state_.expire(hint_); });
      guard([&] { look_at_deadlines(); });
      flush_queued();
      if (stopping_ && (stopping_->expired() || everyone_left())) return;
    }
  }

  // Only memory can run out in here. The store cannot work then; its clients see the end of it.
  template <typename Body>
  void guard(const Body& body) noexcept {
    try {
      body();
    } catch (...) {
      connections_.clear();
      strangers_.clear();
      buffered_ = 0;
    }
  }

  bool watch(int operation, int fd, uint64_t id, uint32_t events) {
    epoll_event event = {};
    event.events = events;
    event.data.u64 = id;
    return ::epoll_ctl(epoll_.get(), operation, fd, &event) == 0;
  }

  bool watch_listeners(int operation, uint32_t events) {
    bool all = true;
    for (const FileDescriptor& one : listeners_) {
      all = watch(operation, one.get(), kListener, events) && all;
    }
    return all;
  }

  void accept_all() {
    for (const FileDescriptor& one : listeners_) accept_all(one);
  }

  void accept_all(const FileDescriptor& listener) {
    while (true) {
      FileDescriptor fd(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
          hint_ = "rank 0 could not accept every connection (" +
                  std::generic_category().message(errno) +
                  "): raise its limit of open files (ulimit -n)";
          // Looked at again at the next tick, rather than in a busy loop.
          watch_listeners(EPOLL_CTL_MOD, 0);
          listener_paused_ = true;
        } else if (errno == ECONNABORTED || errno == EINTR) {
          continue;
        }
        return;
      }
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      const uint64_t id = next_id_++;
      if (!watch(EPOLL_CTL_ADD, fd.get(), id, EPOLLIN)) continue;
      if (strangers_.size() >= options_.max_strangers + static_cast<size_t>(options_.size)) {
        drop(strangers_.front());
      }
      Connection& connection = connections_[id];
      connection.fd = std::move(fd);
      connection.due = Deadline::after(options_.hello_seconds);
      connection.stranger = strangers_.insert(strangers_.end(), id);
    }
  }

  void serve(uint64_t id, uint32_t events) noexcept {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    try {
      if ((events & EPOLLOUT) != 0) flush(id, connection);
      if (!connection.dropped && (events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) {
        read(id, connection);
      }
    } catch (const std::exception&) {
      connection.dropped = true;  // not the protocol, or no memory for it
    }
    if (connection.dropped) drop(id);
  }

  void read(uint64_t id, Connection& connection) {
    std::array<char, 16384> chunk;
    while (!connection.closing && !connection.sending()) {
      const ssize_t got = ::recv(connection.fd.get(), chunk.data(), chunk.size(), 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (got <= 0) {
        connection.dropped = true;
        return;
      }
      connection.in.append(chunk.data(), static_cast<size_t>(got));
      count(connection);
      if (buffered_ > options_.max_bytes) throw std::bad_alloc();
      take_frames(id, connection);
      count(connection);
    }
    // Whoever waits for our last answer only is not read any more.
    if (connection.closing && !connection.sending()) connection.dropped = true;
  }

  void take_frames(uint64_t id, Connection& connection) {
    size_t used = 0;
    const std::string_view in(connection.in);
    while (!connection.closing && in.size() - used >= store::kLengthBytes) {
      const size_t length = store::frame_length(in.data() + used);
      if (length == 0 || length > (connection.member ? options_.max_frame : store::kMaxHello)) {
        throw store::Malformed("a frame is too long");
      }
      if (in.size() - used < store::kLengthBytes + length) break;
      take_frame(id, connection, in.substr(used + store::kLengthBytes, length));
      used += store::kLengthBytes + length;
    }
    connection.in.erase(0, used);
    if (connection.in.empty()) connection.in.shrink_to_fit();
    if (!connection.member) return;
    if (connection.in.empty() && !connection.sending()) {
      connection.due.reset();
    } else if (used > 0 || !connection.due) {
      connection.due = Deadline::after(options_.frame_seconds);
    }
  }

  void take_frame(uint64_t id, Connection& connection, std::string_view frame) {
    if (connection.member) {
      connection.closing = !state_.request(id, frame);
      return;
    }
    const auto peer = peer_address(connection.fd.get());
    const bool welcome = state_.hello(id, frame, peer ? peer->text() : "an unknown address",
                                      socket_address(connection.fd.get()));
    if (welcome) {
      connection.member = true;
      strangers_.erase(connection.stranger);
    } else {
      connection.closing = true;
    }
  }

  // Called by the state, for any connection.
  void queue(uint64_t id, const std::string& frame) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    connection.out += frame;
    count(connection);
    connection.due = Deadline::after(options_.frame_seconds);
    queued_.push_back(id);
  }

  void flush_queued() noexcept {
    while (!queued_.empty()) {
      const uint64_t id = queued_.back();
      queued_.pop_back();
      serve(id, EPOLLOUT);
    }
  }

  void flush(uint64_t id, Connection& connection) {
    while (connection.sending()) {
      const ssize_t sent =
          ::send(connection.fd.get(), connection.out.data() + connection.sent,
                 connection.out.size() - connection.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) break;
      if (sent <= 0) {
        connection.dropped = true;
        return;
      }
      connection.sent += static_cast<size_t>(sent);
    }
    const bool more = connection.sending();
    if (!more) {
      connection.out.clear();
      connection.out.shrink_to_fit();
      connection.sent = 0;
      count(connection);
      if (connection.member && connection.in.empty()) connection.due.reset();
      if (connection.closing) connection.dropped = true;
    }
    const uint32_t wanted = more ? EPOLLOUT : EPOLLIN;
    if (wanted != connection.events) {
      connection.events = wanted;
      watch(EPOLL_CTL_MOD, connection.fd.get(), id, wanted);
    }
  }

  void look_at_deadlines() {
    if (listener_paused_) {
      listener_paused_ = false;
      watch_listeners(EPOLL_CTL_MOD, EPOLLIN);
    }
    if (!next_look_.expired()) return;
    next_look_ = Deadline::after(kTick * 1e-3);
    std::vector<uint64_t> late;
    for (const auto& [id, connection] : connections_) {
      if (connection.due && connection.due->expired()) late.push_back(id);
    }
    for (const uint64_t id : late) drop(id);
  }

  void drop(uint64_t id) noexcept {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    const bool member = found->second.member;
    if (!member) strangers_.erase(found->second.stranger);
    buffered_ -= found->second.counted;
    connections_.erase(found);
    if (member) guard([&] { state_.gone(id); });
  }

  // Keeps the sum of all buffers.
  void count(Connection& connection) noexcept {
    buffered_ -= connection.counted;
    connection.counted = connection.in.capacity() + connection.out.capacity();
    buffered_ += connection.counted;
  }

  // Clients leave as soon as they have read their last answer. Closing before that could discard
  // it.
  bool everyone_left() const { return strangers_.size() == connections_.size(); }

  const Options options_;
  const Deadline deadline_;
  std::vector<FileDescriptor> listeners_;
  FileDescriptor epoll_;
  FileDescriptor wake_up_;
  store::State state_;
  std::unordered_map<uint64_t, Connection> connections_;
  std::list<uint64_t> strangers_;  // oldest first
  size_t buffered_ = 0;
  std::vector<uint64_t> queued_;  // connections with something to send
  uint64_t next_id_ = kFirstConnection;
  bool listener_paused_ = false;
  Deadline next_look_ = Deadline::after(0);
  std::string hint_;
  std::optional<Deadline> stopping_;
  std::thread thread_;
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
  return address && address->is_loopback() ? address->host() : "127.0.0.1";
}

}  // namespace deisa
