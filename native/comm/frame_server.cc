#include "comm/frame_server.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <list>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/shortage.hpp"

namespace deisa {
namespace {

constexpr uint64_t kListener = 0;
constexpr uint64_t kWakeUp = 1;
constexpr uint64_t kFirstConnection = 2;
constexpr int kTick = 100;  // milliseconds between looks at the deadlines
constexpr double kLastWords = 1.0;
constexpr double kMoment = 1.0;  // in which a client checks in, if it is one

struct Connection {
  FileDescriptor fd;
  bool member = false;   // checked in
  bool closing = false;  // once everything is sent
  bool dropped = false;  // at once
  bool upstream = false;
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

class FrameServer::Impl {
 public:
  Impl(std::vector<FileDescriptor> listeners, const Limits& limits, Handler& handler,
       const char* name)
      : limits_(limits), handler_(handler), name_(name), listeners_(std::move(listeners)) {
    epoll_ = FileDescriptor(::epoll_create1(EPOLL_CLOEXEC));
    wake_up_ = FileDescriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!epoll_ || !wake_up_ || !watch_listeners(EPOLL_CTL_ADD, EPOLLIN) ||
        !watch(EPOLL_CTL_ADD, wake_up_.get(), kWakeUp, EPOLLIN)) {
      throw Error(DEISA_ERROR_RESOURCE, "the rendezvous cannot be served: " + system_text(errno));
    }
    reserve_ = FileDescriptor(::open("/", O_PATH | O_CLOEXEC));
  }

  ~Impl() {
    if (!thread_.joinable()) return;
    post([this] { stopping_ = Deadline::after(kLastWords); });
    thread_.join();
  }

  void start() {
    thread_ = start_thread("the rendezvous", [this] { run(); });
    ::pthread_setname_np(thread_.native_handle(), name_);
  }

  void post(std::function<void()> work) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      posted_.push_back(std::move(work));
    }
    const uint64_t one = 1;
    // The counter cannot overflow, so this cannot fail.
    [[maybe_unused]] const auto written = ::write(wake_up_.get(), &one, sizeof(one));
  }

  // In the thread, for any connection.
  void send(uint64_t id, const std::string& frame) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    connection.out += frame;
    count(connection);
    // A stranger's answers do not give it more time.
    if (connection.member || connection.closing || !connection.due) {
      connection.due = Deadline::after(limits_.frame_seconds);
    }
    queued_.push_back(id);
  }

  uint64_t add(FileDescriptor fd, bool upstream) {
    const uint64_t id = next_id_++;
    if (!watch(EPOLL_CTL_ADD, fd.get(), id, EPOLLIN)) {
      throw Error(DEISA_ERROR_RESOURCE, "the rendezvous cannot be served: " + system_text(errno));
    }
    Connection& connection = connections_[id];
    connection.fd = std::move(fd);
    connection.member = true;
    connection.upstream = upstream;
    if (upstream) ++upstreams_;
    return id;
  }

  void close(uint64_t id) noexcept {
    const auto found = connections_.find(id);
    if (found == connections_.end()) return;
    if (!found->second.member) strangers_.erase(found->second.stranger);
    if (found->second.upstream) --upstreams_;
    buffered_ -= found->second.counted;
    connections_.erase(found);
  }

 private:
  void run() noexcept {
    std::array<epoll_event, 256> events;
    while (true) {
      const int ready = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                     stopping_ ? 10 : std::min(kTick, handler_.patience()));
      for (int i = 0; i < ready; ++i) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        if (event.data.u64 == kWakeUp) {
          guard([&] { do_posted(); });
        } else if (event.data.u64 == kListener) {
          guard([&] { accept_all(); });
        } else {
          serve(event.data.u64, event.events);
        }
      }
      guard([&] { handler_.round(); });
      guard([&] { look_at_deadlines(); });
      flush_queued();
      if (stopping_ && (stopping_->expired() || everyone_left())) break;
    }
    guard([&] { handler_.end(); });
    flush_queued();
  }

  void do_posted() {
    uint64_t number = 0;
    [[maybe_unused]] const auto got = ::read(wake_up_.get(), &number, sizeof(number));
    std::vector<std::function<void()>> work;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      work.swap(posted_);
    }
    for (const auto& one : work) one();
  }

  // Only memory can run out in here. The server cannot work then; its clients see the end of it.
  template <typename Body>
  void guard(const Body& body) noexcept {
    try {
      body();
    } catch (...) {
      connections_.clear();
      strangers_.clear();
      upstreams_ = 0;
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
        if (is_shortage(errno)) {
          make_room(listener, errno);
        } else if (errno == ECONNABORTED || errno == EINTR) {
          continue;
        }
        return;
      }
      const int on = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));  // not on a Unix socket
      const uint64_t id = next_id_++;
      if (!watch(EPOLL_CTL_ADD, fd.get(), id, EPOLLIN)) continue;
      if (strangers_.size() >= limits_.max_strangers) {
        drop(strangers_.front());
      }
      Connection& connection = connections_[id];
      connection.fd = std::move(fd);
      connection.due = Deadline::after(limits_.hello_seconds);
      connection.stranger = strangers_.insert(strangers_.end(), id);
    }
  }

  // No file is left for the next connection.
  void make_room(const FileDescriptor& listener, int reason) {
    pollfd entry = {listener.get(), POLLIN, 0};
    if (::poll(&entry, 1, 0) == 0) return;  // there is none
    if (strangers_.empty()) {
      handler_.out_of_files(std::generic_category().message(reason));
      if (reserve_) {  // so that the first who cannot come is told
        reserve_.reset();
        accept_all(listener);
        return;
      }
    } else if (connections_[strangers_.front()].due->seconds() < limits_.hello_seconds - kMoment) {
      drop(strangers_.front());
    }
    // Looked at again at the next tick, rather than in a busy loop.
    watch_listeners(EPOLL_CTL_MOD, 0);
    listener_paused_ = true;
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
    // Who does not read its answers is not read; of two servers one must.
    while (!connection.closing && (connection.upstream || !connection.sending())) {
      const ssize_t got = ::recv(connection.fd.get(), chunk.data(), chunk.size(), 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (got <= 0) {
        connection.dropped = true;
        return;
      }
      connection.in.append(chunk.data(), static_cast<size_t>(got));
      count(connection);
      if (buffered_ > limits_.max_bytes) throw std::bad_alloc();
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
      if (length == 0 || length > (connection.member ? limits_.max_frame : store::kMaxHello)) {
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
      connection.due = Deadline::after(limits_.frame_seconds);
    }
  }

  void take_frame(uint64_t id, Connection& connection, std::string_view frame) {
    if (connection.member) {
      connection.closing = !handler_.request(id, frame);
      return;
    }
    switch (handler_.hello(id, frame, connection.fd.get())) {
      case Admission::kAdmitted:
        connection.member = true;
        strangers_.erase(connection.stranger);
        return;
      case Admission::kUndecided:
        return;
      case Admission::kRefused:
        connection.closing = true;
    }
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
    uint32_t wanted = 0;
    if (connection.upstream || !more) wanted |= EPOLLIN;
    if (more) wanted |= EPOLLOUT;
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
    const bool told = !found->second.closing;
    close(id);
    if (told) guard([&] { handler_.gone(id); });
  }

  // Keeps the sum of all buffers.
  void count(Connection& connection) noexcept {
    buffered_ -= connection.counted;
    connection.counted = connection.in.capacity() + connection.out.capacity();
    buffered_ += connection.counted;
  }

  // Clients leave as soon as they have read their last answer. Closing before that could discard
  // it.
  bool everyone_left() const { return strangers_.size() + upstreams_ == connections_.size(); }

  const Limits limits_;
  Handler& handler_;
  const char* const name_;
  std::vector<FileDescriptor> listeners_;
  FileDescriptor epoll_;
  FileDescriptor wake_up_;
  FileDescriptor reserve_;  // for a connection when no file is left
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;
  std::unordered_map<uint64_t, Connection> connections_;
  std::list<uint64_t> strangers_;  // oldest first
  size_t upstreams_ = 0;           // connections that lead on
  size_t buffered_ = 0;
  std::vector<uint64_t> queued_;  // connections with something to send
  uint64_t next_id_ = kFirstConnection;
  bool listener_paused_ = false;
  Deadline next_look_ = Deadline::after(0);
  std::optional<Deadline> stopping_;
  std::thread thread_;
};

FrameServer::FrameServer(std::vector<FileDescriptor> listeners, const Limits& limits,
                         Handler& handler, const char* name)
    : impl_(std::make_unique<Impl>(std::move(listeners), limits, handler, name)) {}

FrameServer::~FrameServer() = default;

void FrameServer::start() { impl_->start(); }
void FrameServer::post(std::function<void()> work) { impl_->post(std::move(work)); }
void FrameServer::send(uint64_t connection, const std::string& frame) {
  impl_->send(connection, frame);
}
uint64_t FrameServer::add(FileDescriptor fd) { return impl_->add(std::move(fd), false); }
uint64_t FrameServer::add_upstream(FileDescriptor fd) { return impl_->add(std::move(fd), true); }
void FrameServer::close(uint64_t connection) { impl_->close(connection); }

}  // namespace deisa
