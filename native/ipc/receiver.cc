#include "ipc/receiver.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/shortage.hpp"

namespace deisa {
namespace {

constexpr uint64_t kListener = UINT64_MAX;
constexpr uint64_t kWake = UINT64_MAX - 1;
constexpr size_t kMaxConnections = 4096;
// A connection is not read beyond these, so that a rank that only sends, or never reads, cannot
// fill the actor's memory.
constexpr size_t kMaxQueuedEvents = 1024;
constexpr size_t kMaxOutMessages = 4096;
constexpr size_t kMaxOutBytes = size_t{16} << 20;
// What may wait for a rank that is alive and does not read, with what each message costs: more than
// the answers to all that it may have sent. Beyond, it is lost.
constexpr size_t kMaxUnread = size_t{128} << 20;
// Messages read from one connection before the others have their turn.
constexpr int kMessagesPerTurn = 16;
constexpr auto kShortOfMemory = std::chrono::milliseconds(10);
constexpr const char* kNoMemory =
    "the node actor is out of memory: raise the limits of memory where Ray is started (ulimit -v, "
    "or the container's)";

FileDescriptor open_reserve() { return FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

wire::Header answer(wire::Kind kind, uint64_t sequence, uint32_t array = wire::kNone,
                    uint32_t slot = wire::kNone) {
  wire::Header header;
  header.kind = kind;
  header.sequence = sequence;
  header.array = array;
  header.slot = slot;
  return header;
}

}  // namespace

Receiver::Receiver(const std::string& path)
    : reserve_(open_reserve()),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      listener_(path) {
  epoll_event listener{};
  listener.events = EPOLLIN;
  listener.data.u64 = kListener;
  epoll_event wake{};
  wake.events = EPOLLIN;
  wake.data.u64 = kWake;
  if (!reserve_ || !epoll_ || !wake_ ||
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener_.fd(), &listener) != 0 ||
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &wake) != 0) {
    throw Error(DEISA_ERROR_RESOURCE, "cannot watch sockets: " + system_text(errno));
  }
  // Without signals: they are for the interpreter's threads.
  thread_ = start_thread("the ranks of this node", [this] { run(); });
  pthread_setname_np(thread_.native_handle(), "deisa-node");
}

Receiver::~Receiver() { stop(); }

void Receiver::stop() {
  const std::lock_guard<std::mutex> one_at_a_time(stop_mutex_);
  if (!thread_.joinable()) return;
  {
    const Lock lock(mutex_);
    stopping_ = true;
  }
  const uint64_t one = 1;
  while (::write(wake_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
  }
  thread_.join();
  listener_.close();
  {
    const Lock lock(mutex_);
    for (auto& [id, peer] : peers_) {
      if (peer->socket) lose(*peer, "the node actor stopped");
    }
  }
  if (Trace* open = open_trace()) open->flush();
  arrived_.notify_all();
}

void Receiver::run() {
  epoll_event ready[64];
  for (;;) {
    const int count = ::epoll_wait(epoll_.get(), ready, 64, -1);
    for (int i = 0; i < count; ++i) {
      try {
        if (ready[i].data.u64 == kListener) {
          accept_all();
        } else if (ready[i].data.u64 != kWake) {
          serve(ready[i].data.u64, ready[i].events);
        }
      } catch (const std::bad_alloc&) {
        // Not even for a refusal: epoll reports it again, when there may be some.
        std::this_thread::sleep_for(kShortOfMemory);
      }
    }
    const Lock lock(mutex_);
    if (stopping_) return;
  }
}

void Receiver::refuse_socket(int socket, deisa_status status, std::string_view text) {
  wire::Header header;
  header.kind = wire::Kind::kRefused;
  header.status = status;
  header.payload = static_cast<uint32_t>(text.size());
  const iovec pieces[] = {{&header, sizeof(header)}, {const_cast<char*>(text.data()), text.size()}};
  (void)send_packet(socket, pieces, 2, -1);
  const Lock lock(mutex_);
  ++counters_.refused;
}

void Receiver::accept_all() {
  for (;;) {
    FileDescriptor socket(
        ::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EMFILE && errno != ENFILE) return;
      reserve_.reset();
      socket =
          FileDescriptor(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (socket) {
        refuse_socket(socket.get(), DEISA_ERROR_RESOURCE,
                      "the node actor has no file descriptor left: raise the limit of open files "
                      "(ulimit -n) where Ray is started");
      }
      const bool refused = static_cast<bool>(socket);
      socket.reset();
      reserve_ = open_reserve();
      if (refused) continue;
      // Another thread was faster in taking the descriptor. Do not spin.
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      return;
    }
    ucred credentials{};
    socklen_t size = sizeof(credentials);
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0 ||
        (credentials.uid != ::geteuid() && credentials.uid != 0)) {
      refuse_socket(socket.get(), DEISA_ERROR_CONNECTION,
                    "the node actor belongs to user " + std::to_string(::geteuid()) +
                        ", the rank to user " + std::to_string(credentials.uid));
      continue;
    }
    bool full = false;
    try {
      const Lock lock(mutex_);
      full = open_ >= kMaxConnections;
      if (!full) {
        auto peer = std::make_unique<Peer>(++last_id_);
        Peer& added = *peer;
        peers_.emplace(added.id, std::move(peer));
        added.socket = std::move(socket);
        ++open_;
        ++counters_.accepted;
        watch(added);
      }
    } catch (const std::bad_alloc&) {
      if (!socket) throw;
      refuse_socket(socket.get(), DEISA_ERROR_RESOURCE, kNoMemory);
    }
    if (full) {
      refuse_socket(socket.get(), DEISA_ERROR_RESOURCE,
                    "the node actor serves " + std::to_string(kMaxConnections) + " ranks already");
    }
  }
}

Receiver::Turn::Turn(Receiver& receiver)
    : receiver_(receiver), lock_(receiver.mutex_), before_(receiver.pushed_) {}

Receiver::Turn::~Turn() {
  const bool pushed = receiver_.pushed_ != before_;
  lock_.unlock();
  if (pushed) receiver_.arrived_.notify_one();
}

void Receiver::serve(uint64_t id, uint32_t ready) {
  const Turn turn(*this);
  Peer* peer = find_open(id);
  if (peer == nullptr) return;
  try {
    if ((ready & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) flush(*peer);
    for (int i = 0; i < kMessagesPerTurn && peer->socket && read_message(*peer); ++i) {
    }
    // read_message() forgets a connection that never said anything.
    if (Peer* still = find_open(id)) watch(*still);
  } catch (const std::bad_alloc&) {
    if (Peer* still = find_open(id)) reject(*still, Error(DEISA_ERROR_RESOURCE, kNoMemory));
  } catch (const std::exception& error) {
    if (Peer* still = find_open(id)) reject(*still, as_error(error));
  }
}

// Reads one message and acts on it; false when there is none or the connection is not to be read.
bool Receiver::read_message(Peer& peer) {
  peer.paused = peer.queued_events >= kMaxQueuedEvents || peer.out.size() >= kMaxOutMessages ||
                peer.out_bytes >= kMaxOutBytes;
  if (peer.paused) return false;
  switch (reader_.read(peer.socket.get())) {
    case ReadResult::kNothing:
      return false;
    case ReadResult::kEnd:
      lose(peer, "the rank's process ended, or closed its socket, without BYE");
      return false;
    case ReadResult::kMalformed:
      reject(peer, Error(DEISA_ERROR_ARGUMENT, reader_.problem()));
      return false;
    case ReadResult::kMessage:
      break;
  }
  const auto begin = trace_ ? Trace::Clock::now() : Trace::Clock::time_point{};
  peer.spoke = true;
  Event event;
  try {
    if (reader_.header().kind == wire::Kind::kShare) {
      share(peer);
      return static_cast<bool>(peer.socket);
    }
    const size_t mapped = peer.protocol.mapped_bytes();
    event = peer.protocol.accept(reader_);
    counters_.mapped_bytes += peer.protocol.mapped_bytes() - mapped;
  } catch (const Error& error) {
    reader_.drop_fd();
    reject(peer, error);
    return false;
  }
  const uint32_t kind = event.header.kind;
  const uint64_t sequence = event.header.sequence;
  const int64_t timestep = event.header.timestep;
  if (kind == DEISA_NODE_BYE) {
    end(peer, std::move(event));
    return false;
  }
  for (const deisa_node_chunk& chunk : event.chunks) counters_.received_bytes += chunk.bytes;
  counters_.received_chunks += event.chunks.size();
  push(peer, std::move(event));
  if (kind == DEISA_NODE_STEP) {
    send(peer, answer(wire::Kind::kReceived, sequence), {});
    if (trace_) {
      trace_->add("receive", peer.protocol.bridge_id(), "", timestep, begin, Trace::Clock::now());
    }
  }
  return static_cast<bool>(peer.socket);
}

// Answers SHARE: with memory that another rank has asked for under this name, or new one. What cannot be
// made is an error of this request, not of the connection.
void Receiver::share(Peer& peer) {
  const Connection::ShareRequest request = peer.protocol.accept_share(reader_);
  wire::Header header = answer(wire::Kind::kValue, reader_.header().sequence);
  FileDescriptor memfd;
  std::string problem;
  try {
    std::shared_ptr<const SharedMemory>& known = shared_[request.name];
    const auto& [stride, count, reserved] = request.slots;
    if (!known) {
      if (shared_bytes_ + stride * count > wire::kMaxShared) {
        throw Error(DEISA_ERROR_RESOURCE, "the ranks of this node share more than " +
                                              std::to_string(wire::kMaxShared) + " bytes");
      }
      auto made = std::make_shared<SharedMemory>();
      made->slots = request.slots;
      made->memfd = make_memfd("deisa-shared-slots", stride * count);
      seal_memfd(made->memfd.get(), false);
      made->mapping = Mapping(made->memfd.get(), stride * count, false);
      shared_bytes_ += stride * count;
      known = std::move(made);
    } else if (known->slots.stride != stride || known->slots.count != count) {
      throw Error(DEISA_ERROR_ARGUMENT, "another rank of this node shares it with " +
                                            std::to_string(known->slots.count) + " slots of " +
                                            std::to_string(known->slots.stride) + " bytes");
    }
    memfd = FileDescriptor(::fcntl(known->memfd.get(), F_DUPFD_CLOEXEC, 0));
    if (!memfd) {
      throw Error(DEISA_ERROR_RESOURCE,
                  std::string("it cannot be handed on: ") + std::strerror(errno));
    }
    header.value = stride * count;
    peer.protocol.share(request.array, known);
  } catch (const Error& error) {
    header.status = error.status();
    problem = "the memory '" + request.name + "': " + error.what();
    if (!shared_[request.name]) shared_.erase(request.name);
  }
  send(peer, header, problem, std::move(memfd));
}

void Receiver::push(Peer& peer, Event event) {
  events_.push_back(std::move(event));
  ++peer.queued_events;
  ++pushed_;
}

// Closes a connection because of what it sent.
void Receiver::reject(Peer& peer, const Error& why) {
  peer.spoke = true;
  ++counters_.refused;
  wire::Header header = answer(wire::Kind::kRefused, 0);
  header.status = why.status();
  send(peer, header, why.what());
  lose(peer, why.what());
}

void Receiver::lose(Peer& peer, const std::string& why) {
  Event last = peer.protocol.event(DEISA_NODE_LOST);
  last.text = why;
  end(peer, std::move(last));
}

// Closes the socket. `last` becomes the connection's last event; nobody hears of a connection that
// never said anything (such as the probe of another process that looks for a live socket).
void Receiver::end(Peer& peer, Event last) {
  if (!peer.socket) return;
  if (peer.interest != 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, peer.socket.get(), nullptr);
  peer.interest = 0;
  peer.socket.reset();
  peer.out.clear();
  peer.out_bytes = 0;
  --open_;
  if (peer.spoke) {
    push(peer, std::move(last));
  } else if (!stopping_) {  // stop() walks through peers_
    peers_.erase(peer.id);
  }
}

void Receiver::send(Peer& peer, wire::Header header, std::string_view payload, FileDescriptor fd) {
  if (peer.deaf) return;
  payload = clip_text(payload);
  header.payload = static_cast<uint32_t>(payload.size());
  if (peer.out.empty()) {
    const iovec pieces[] = {{&header, sizeof(header)},
                            {const_cast<char*>(payload.data()), payload.size()}};
    const SendResult result = send_packet(peer.socket.get(), pieces, 2, fd.get());
    if (result == SendResult::kSent) return;
    if (result != SendResult::kFull) {
      unsendable(peer, result);
      return;
    }
  }
  Outgoing outgoing;
  outgoing.bytes.resize(sizeof(header) + payload.size());
  std::memcpy(outgoing.bytes.data(), &header, sizeof(header));
  if (!payload.empty()) {
    std::memcpy(outgoing.bytes.data() + sizeof(header), payload.data(), payload.size());
  }
  outgoing.fd = std::move(fd);
  peer.out_bytes += outgoing.bytes.size();
  peer.out.push_back(std::move(outgoing));
  if (!lose_if_unread(peer)) watch(peer);
}

// A rank that reads nothing must not fill the actor's memory.
bool Receiver::lose_if_unread(Peer& peer) {
  if (peer.out_bytes + peer.out.size() * sizeof(Outgoing) <= kMaxUnread) return false;
  const Error why(DEISA_ERROR_RESOURCE,
                  "the rank has left " + std::to_string(peer.out.size()) + " messages (" +
                      std::to_string(peer.out_bytes) +
                      " bytes) of the node actor unread: it is suspended, or calls none of the "
                      "bridge's functions");
  peer.out.clear();
  peer.out_bytes = 0;
  // Its socket is full; a larger one has room for the reason. The value that is read is twice the
  // one that is set.
  int bytes = 0;
  socklen_t size = sizeof(bytes);
  ::getsockopt(peer.socket.get(), SOL_SOCKET, SO_SNDBUF, &bytes, &size);
  ::setsockopt(peer.socket.get(), SOL_SOCKET, SO_SNDBUF, &bytes, size);
  reject(peer, why);
  return true;
}

void Receiver::flush(Peer& peer) {
  while (!peer.out.empty() && !peer.deaf) {
    const Outgoing& front = peer.out.front();
    const iovec piece{const_cast<std::byte*>(front.bytes.data()), front.bytes.size()};
    const SendResult result = send_packet(peer.socket.get(), &piece, 1, front.fd.get());
    if (result == SendResult::kFull) return;
    if (result != SendResult::kSent) {
      unsendable(peer, result);
      return;
    }
    peer.out_bytes -= front.bytes.size();
    peer.out.pop_front();
  }
}

// Nothing more can be written. What the rank sent before it went is still to be read; but a rank
// that is alive and would miss an answer must not wait for it.
void Receiver::unsendable(Peer& peer, SendResult result) {
  const int code = errno;
  peer.deaf = true;
  peer.out.clear();
  peer.out_bytes = 0;
  if (result == SendResult::kFailed) {
    lose(peer, std::string("the socket cannot be written: ") + std::strerror(code));
  }
}

// Tells epoll what this connection waits for. Takes effect at once, from any thread. A connection
// that waits for nothing is taken out, since epoll would report its end again and again.
void Receiver::watch(Peer& peer) {
  if (peer.paused && peer.queued_events < kMaxQueuedEvents / 2 &&
      peer.out.size() < kMaxOutMessages / 2 && peer.out_bytes < kMaxOutBytes / 2) {
    peer.paused = false;
  }
  const uint32_t wanted = (peer.paused ? 0u : static_cast<uint32_t>(EPOLLIN)) |
                          (peer.out.empty() ? 0u : static_cast<uint32_t>(EPOLLOUT));
  if (wanted == peer.interest) return;
  epoll_event change{};
  change.events = wanted;
  change.data.u64 = peer.id;
  const int operation = peer.interest == 0 ? EPOLL_CTL_ADD
                        : wanted == 0      ? EPOLL_CTL_DEL
                                           : EPOLL_CTL_MOD;
  if (::epoll_ctl(epoll_.get(), operation, peer.socket.get(), &change) == 0) {
    peer.interest = wanted;
  } else {
    lose(peer, std::string("the socket cannot be watched: ") + std::strerror(errno));
  }
}

Receiver::Peer* Receiver::find(uint64_t id) {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : found->second.get();
}

Receiver::Peer* Receiver::find_open(uint64_t id) {
  Peer* peer = find(id);
  return peer != nullptr && peer->socket ? peer : nullptr;
}

deisa_status Receiver::next(deisa_node_event* event, int timeout_ms) {
  if (Trace* open = open_trace()) open->flush_now_and_then();
  Lock lock(mutex_);
  current_ = Event{};
  const auto arrived = [this] { return !events_.empty() || stopping_; };
  if (timeout_ms < 0) {
    arrived_.wait(lock, arrived);
  } else {
    arrived_.wait_for(lock, std::chrono::milliseconds(timeout_ms), arrived);
  }
  if (events_.empty()) return stopping_ ? DEISA_ERROR_CONNECTION : DEISA_PENDING;
  current_ = std::move(events_.front());
  events_.pop_front();
  deisa_node_event& header = current_.header;
  if (Peer* peer = find(header.connection)) {
    --peer->queued_events;
    if (header.kind == DEISA_NODE_BYE || header.kind == DEISA_NODE_LOST) peer->ended = true;
    if (peer->paused && peer->socket) watch(*peer);
  }
  const bool step = header.kind == DEISA_NODE_STEP;
  header.count = step ? current_.chunks.size() : current_.text.size();
  header.payload = step ? static_cast<const void*>(current_.chunks.data()) : current_.text.data();
  *event = header;
  return DEISA_OK;
}

deisa_status Receiver::welcome(uint64_t connection, uint64_t sequence) {
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  if (!peer->protocol.welcome()) return DEISA_ERROR_ARGUMENT;
  send(*peer, answer(wire::Kind::kWelcome, sequence), {});
  return DEISA_OK;
}

deisa_status Receiver::refuse(uint64_t connection, int32_t status, std::string_view text) {
  if (status >= 0) return DEISA_ERROR_ARGUMENT;
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  wire::Header header = answer(wire::Kind::kRefused, 0);
  header.status = status;
  ++counters_.refused;
  send(*peer, header, text);
  lose(*peer, "refused: " + std::string(text));
  return DEISA_OK;
}

deisa_status Receiver::stored(uint64_t connection, uint64_t sequence, uint32_t array,
                              uint32_t slot) {
  const Turn turn(*this);
  Peer* peer = find(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  if (!peer->protocol.free_slot(array, slot, sequence)) return DEISA_ERROR_ARGUMENT;
  if (!peer->socket) return DEISA_ERROR_CONNECTION;
  send(*peer, answer(wire::Kind::kStored, sequence, array, slot), {});
  return DEISA_OK;
}

deisa_status Receiver::announced(uint64_t connection, uint64_t sequence, uint32_t array) {
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  if (array != wire::kNone && !peer->protocol.has_array(array)) return DEISA_ERROR_ARGUMENT;
  send(*peer, answer(wire::Kind::kAnnounced, sequence, array), {});
  return DEISA_OK;
}

deisa_status Receiver::failed(uint64_t connection, uint64_t sequence, uint32_t array, uint32_t slot,
                              int32_t status, int64_t timestep, std::string_view text) {
  if (status >= 0) return DEISA_ERROR_ARGUMENT;
  const Turn turn(*this);
  Peer* peer = find(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  if (array != wire::kNone && !peer->protocol.has_array(array)) return DEISA_ERROR_ARGUMENT;
  if (slot != wire::kNone && !peer->protocol.free_slot(array, slot, sequence)) {
    return DEISA_ERROR_ARGUMENT;
  }
  if (!peer->socket) return DEISA_ERROR_CONNECTION;
  wire::Header header = answer(wire::Kind::kFailed, sequence, array, slot);
  header.status = status;
  header.timestep = timestep;
  send(*peer, header, text);
  return DEISA_OK;
}

deisa_status Receiver::value(uint64_t connection, uint64_t sequence, int32_t status, bool kept,
                             std::string_view data) {
  if (status != DEISA_OK && status != DEISA_NOT_FOUND && status >= 0) return DEISA_ERROR_ARGUMENT;
  wire::Header header = answer(wire::Kind::kValue, sequence);
  FileDescriptor memfd;
  std::string problem;
  if (status == DEISA_OK && data.size() > wire::kMaxPayload) {
    try {
      if (data.size() > wire::kMaxValue) {
        throw Error(DEISA_ERROR_UNSUPPORTED, "a value of " + std::to_string(data.size()) +
                                                 " bytes is larger than the limit of " +
                                                 std::to_string(wire::kMaxValue));
      }
      memfd = make_memfd("deisa-value", data.size());
      for (size_t done = 0; done < data.size();) {
        const ssize_t n = ::write(memfd.get(), data.data() + done, data.size() - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
          throw Error(DEISA_ERROR_RESOURCE, std::string("cannot write a value to shared memory: ") +
                                                std::strerror(errno));
        }
        done += static_cast<size_t>(n);
      }
      seal_memfd(memfd.get(), true);
      header.value = data.size();
      data = {};
    } catch (const Error& error) {
      memfd.reset();
      status = error.status();
      problem = error.what();
      data = problem;
    }
  }
  header.status = status;
  header.flags = kept ? wire::kKept : uint16_t{0};
  if (header.value == 0) header.value = clip_text(data).size();
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  send(*peer, header, data, std::move(memfd));
  return DEISA_OK;
}

deisa_status Receiver::changed(uint64_t connection, int32_t status, std::string_view key,
                               std::string_view data) {
  if (status != DEISA_OK && status != DEISA_NOT_FOUND && status != DEISA_PENDING) {
    return DEISA_ERROR_ARGUMENT;
  }
  if (key.empty() || key.size() > wire::kMaxPayload) return DEISA_ERROR_ARGUMENT;
  if (status == DEISA_OK && data.size() > wire::kMaxPayload - key.size()) status = DEISA_PENDING;
  wire::Header header = answer(wire::Kind::kChanged, 0);
  header.status = status;
  header.value = key.size();
  std::string payload(key);
  if (status == DEISA_OK) payload += data;
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  // A rank that reads nothing meanwhile gets the newest value only: one message waits for each key.
  for (Outgoing& waiting : peer->out) {
    wire::Header earlier;
    std::memcpy(&earlier, waiting.bytes.data(), sizeof(earlier));
    const std::string_view carried(
        reinterpret_cast<const char*>(waiting.bytes.data()) + sizeof(earlier), earlier.payload);
    if (earlier.kind != wire::Kind::kChanged || carried.substr(0, earlier.value) != key) continue;
    header.payload = static_cast<uint32_t>(payload.size());
    peer->out_bytes -= waiting.bytes.size();
    waiting.bytes.resize(sizeof(header) + payload.size());
    std::memcpy(waiting.bytes.data(), &header, sizeof(header));
    std::memcpy(waiting.bytes.data() + sizeof(header), payload.data(), payload.size());
    peer->out_bytes += waiting.bytes.size();
    lose_if_unread(*peer);
    return DEISA_OK;
  }
  send(*peer, header, payload);
  return DEISA_OK;
}

deisa_status Receiver::done(uint64_t connection, uint64_t sequence, int32_t status,
                            std::string_view text) {
  if (status > 0) return DEISA_ERROR_ARGUMENT;
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  wire::Header header = answer(wire::Kind::kDone, sequence);
  header.status = status;
  send(*peer, header, text);
  return DEISA_OK;
}

deisa_status Receiver::notice(uint64_t connection, int32_t status, std::string_view text,
                              uint16_t flags) {
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  wire::Header header = answer(wire::Kind::kNotice, 0);
  header.flags = flags;
  header.status = status;
  send(*peer, header, text);
  return DEISA_OK;
}

deisa_status Receiver::gate(uint64_t connection, uint64_t sequence, int32_t open, int64_t timestep,
                            std::string_view text) {
  if (open != 0 && open != 1) return DEISA_ERROR_ARGUMENT;
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  wire::Header header = answer(wire::Kind::kGate, sequence);
  header.timestep = timestep;
  header.value = static_cast<uint64_t>(open);
  send(*peer, header, text);
  return DEISA_OK;
}

deisa_status Receiver::trace(const char* file, const char* process) {
  auto opened = std::make_unique<Trace>(file, process);
  const Lock lock(mutex_);
  if (trace_) return DEISA_ERROR_ARGUMENT;
  trace_ = std::move(opened);
  return DEISA_OK;
}

Trace* Receiver::open_trace() {
  const Lock lock(mutex_);
  return trace_.get();
}

deisa_status Receiver::span(const char* name, int32_t rank, const char* array, int64_t timestep,
                            int64_t begin, int64_t end, int32_t row) {
  Trace* open = open_trace();
  if (open == nullptr) return DEISA_ERROR_ARGUMENT;
  const auto time = [](int64_t nanoseconds) {
    return Trace::Clock::time_point(std::chrono::nanoseconds(nanoseconds));
  };
  open->add(name, rank, array, timestep, time(begin), time(end), row);
  return DEISA_OK;
}

deisa_status Receiver::close(uint64_t connection) {
  const Turn turn(*this);
  Peer* peer = find_open(connection);
  if (peer == nullptr) return DEISA_ERROR_CONNECTION;
  lose(*peer, "closed by the node actor");
  return DEISA_OK;
}

deisa_status Receiver::release(uint64_t connection) {
  std::unique_ptr<Peer> freed;  // unmapped after the lock is given back
  const Lock lock(mutex_);
  const auto found = peers_.find(connection);
  if (found == peers_.end()) return DEISA_ERROR_CONNECTION;
  if (!found->second->ended) return DEISA_ERROR_ARGUMENT;
  freed = std::move(found->second);
  peers_.erase(found);
  counters_.mapped_bytes -= freed->protocol.mapped_bytes();
  return DEISA_OK;
}

deisa_node_counters Receiver::counters() {
  const Lock lock(mutex_);
  deisa_node_counters counters = counters_;
  counters.connections = open_;
  counters.queued_events = events_.size();
  return counters;
}

}  // namespace deisa
