#include "comm/local_star.hpp"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/shortage.hpp"
#include "base/while_waiting.hpp"
#include "comm/rank_ranges.hpp"
#include "comm/unix_socket.hpp"

namespace deisa {
namespace {

// The centre gives up at the deadline and then says why; the others wait a little longer for that.
constexpr double kGrace = 2.0;
constexpr size_t kTokenBytes = 32;  // of hexadecimal digits
constexpr size_t kMaxText = 8192;

std::string random_hex() {
  unsigned char bytes[kTokenBytes / 2] = {};
  if (::getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
    throw Error(DEISA_ERROR_INTERNAL, "getrandom gave too few bytes");
  }
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

FileDescriptor open_socket() {
  FileDescriptor fd = unix_socket();
  if (!fd) {
    throw Error(DEISA_ERROR_RESOURCE,
                "no socket for the ranks of this node: " + system_text(errno));
  }
  return fd;
}

std::string system_problem(const char* what) {
  return std::string(what) + ": " + std::strerror(errno);
}

struct Introduction {
  int32_t index;
  char token[kTokenBytes];
};

bool equal(const char* a, const char* b, size_t bytes) {
  unsigned difference = 0;
  for (size_t i = 0; i < bytes; ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

Error late(const char* what, const std::string& ranks) {
  return Error(DEISA_ERROR_TIMEOUT,
               std::string("timed out in the ") + what + ", waiting for rank(s) " + ranks +
                   ": crashed, blocked, behind in the simulation, or themselves waiting for "
                   "another rank (see their output)");
}

Error ended(const char* what, const std::string& ranks, const std::string& why) {
  return Error(DEISA_ERROR_COMMUNICATOR, "the connection to rank(s) " + ranks + " ended in the " +
                                             what + " (" + why +
                                             "): crashed, killed, or gave up (see their output)");
}

}  // namespace

struct LocalStar::Frame {
  uint64_t tag;
  uint64_t bytes;
  int32_t status;  // negative: a failure follows, as text
  uint32_t reserved;
};

LocalStar::LocalStar(std::vector<int> ranks)
    : ranks_(std::move(ranks)), name_("deisa-" + random_hex()), token_(random_hex()) {
  peers_.resize(ranks_.size());
  if (ranks_.size() == 1) return;
  listener_ = open_socket();
  const AbstractAddress address(name_);
  if (::bind(listener_.get(), address.get(), address.length) != 0 ||
      ::listen(listener_.get(), static_cast<int>(ranks_.size())) != 0) {
    throw Error(
        DEISA_ERROR_COMMUNICATOR,
        system_problem("the ranks of this node cannot use a Unix socket for their rendezvous"));
  }
}

void LocalStar::accept(const Deadline& deadline) {
  size_t missing = ranks_.size() - 1;
  while (missing > 0) {
    pollfd entry = {listener_.get(), POLLIN, 0};
    const int ready = ::poll(&entry, 1, deadline.poll_timeout());
    if (ready < 0 && errno != EINTR) {
      throw Error(DEISA_ERROR_COMMUNICATOR, system_problem("waiting for the ranks of this node"));
    }
    if (deadline.expired()) {
      std::vector<bool> absent(static_cast<size_t>(ranks_.back()) + 1, false);
      for (size_t i = 1; i < ranks_.size(); ++i) {
        if (!peers_[i]) absent[static_cast<size_t>(ranks_[i])] = true;
      }
      throw late("rendezvous on this node", to_text(rank_ranges(absent)));
    }
    if (ready <= 0) continue;
    FileDescriptor fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd && is_shortage(errno)) {
      throw Error(DEISA_ERROR_RESOURCE,
                  "no connection for the ranks of this node: " + system_text(errno));
    }
    // Ranks of different users would not share a simulation.
    if (!fd || !unix_peer(fd.get()).same_user) continue;
    // Its first bytes are sent with the connection: a stranger gets a moment, not the deadline.
    Introduction introduction = {};
    pollfd first = {fd.get(), POLLIN, 0};
    if (::poll(&first, 1, deadline.poll_timeout(1000)) <= 0) continue;
    if (::recv(fd.get(), &introduction, sizeof(introduction), 0) != sizeof(introduction)) continue;
    const auto index = static_cast<size_t>(introduction.index);
    if (!equal(introduction.token, token_.data(), kTokenBytes) || introduction.index < 1 ||
        index >= ranks_.size() || peers_[index]) {
      continue;
    }
    peers_[index] = std::move(fd);
    --missing;
  }
  listener_.reset();
}

LocalStar::LocalStar(std::vector<int> ranks, int index, const std::string& address,
                     const Deadline& deadline)
    : ranks_(std::move(ranks)), index_(index) {
  const size_t space = address.find(' ');
  if (space == std::string::npos || address.size() != space + 1 + kTokenBytes || space > 100) {
    throw Error(DEISA_ERROR_COMMUNICATOR, "rank " + rank_text(0) + " gave no address on this node");
  }
  peers_.resize(1);
  peers_[0] = open_socket();
  const AbstractAddress centre(address.substr(0, space));
  // Refused or full for a moment only: the centre listens before it tells its address.
  while (::connect(peers_[0].get(), centre.get(), centre.length) != 0) {
    if (errno != EAGAIN && errno != EINTR) {
      throw ended("rendezvous on this node", rank_text(0), std::strerror(errno));
    }
    if (deadline.expired()) throw late("rendezvous on this node", rank_text(0));
    ::poll(nullptr, 0, 1);
  }
  Introduction introduction = {index, {}};
  std::memcpy(introduction.token, address.data() + space + 1, kTokenBytes);
  if (::send(peers_[0].get(), &introduction, sizeof(introduction), MSG_NOSIGNAL) !=
      sizeof(introduction)) {
    throw ended("rendezvous on this node", rank_text(0), std::strerror(errno));
  }
}

void LocalStar::throw_ended(const char* what, int peer, const std::string& why) {
  // A rank that gives up says why before it closes. Nothing else can be there: what a rank is sent
  // belongs to the collective that it is in.
  const int fd = connection(peer).get();
  Frame frame = {};
  if (::recv(fd, &frame, sizeof(frame), MSG_DONTWAIT) == sizeof(frame) && frame.status < 0 &&
      frame.bytes <= kMaxText) {
    std::string text(frame.bytes, '\0');
    if (::recv(fd, text.data(), text.size(), MSG_DONTWAIT) == static_cast<ssize_t>(text.size())) {
      throw Error(static_cast<deisa_status>(frame.status), text);
    }
  }
  throw ended(what, rank_text(peer), why);
}

// Waits until `peer` is ready. The centre sees meanwhile that a rank has ended that owes its part
// too: it will never take part, however long this one takes.
void LocalStar::wait(const char* what, int peer, short events, const Deadline& deadline) {
  std::vector<pollfd> entries = {{connection(peer).get(), events, 0}};
  for (int other = peer + 1; collecting_ && other < size(); ++other) {
    char byte = 0;
    const ssize_t count = ::recv(connection(other).get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (count == 0) throw ended(what, rank_text(other), "closed");
    // One that has sent its part may go.
    if (count < 0) entries.push_back({connection(other).get(), 0, 0});
  }
  const auto slice = static_cast<int>(WhileWaiting::kInterval.count());
  ::poll(entries.data(), entries.size(), deadline.poll_timeout(slice));
  WhileWaiting::run();
  if (on_wait_) on_wait_();
}

// Repeats `attempt` until it has moved `bytes` bytes in all.
void LocalStar::transfer(const char* what, int peer, short events, const Deadline& deadline,
                         const std::function<long()>& attempt, size_t bytes) {
  size_t moved = 0;
  while (moved < bytes) {
    const long count = attempt();
    if (count > 0) {
      moved += static_cast<size_t>(count);
      continue;
    }
    if (count == 0) throw ended(what, rank_text(peer), "closed");
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) throw_ended(what, peer, std::strerror(errno));
    if (deadline.expired()) throw late(what, rank_text(peer));
    wait(what, peer, events, deadline);
  }
}

void LocalStar::send(const char* what, int peer, uint64_t tag, const void* data, size_t bytes,
                     const Deadline& deadline) {
  const Frame frame = {tag, bytes, 0, 0};
  for (const auto& [start, length] :
       {std::pair<const void*, size_t>(&frame, sizeof(frame)), {data, bytes}}) {
    const auto* at = static_cast<const char*>(start);
    size_t left = length;
    transfer(
        what, peer, POLLOUT, deadline,
        [&] {
          const ssize_t count = ::send(connection(peer).get(), at, left, MSG_NOSIGNAL);
          if (count > 0) {
            at += count;
            left -= static_cast<size_t>(count);
          }
          return count;
        },
        length);
  }
}

void LocalStar::receive(const char* what, int peer, uint64_t tag, void* data, size_t bytes,
                        const Deadline& deadline) {
  const auto read = [&](void* to, size_t length) {
    auto* at = static_cast<char*>(to);
    size_t left = length;
    transfer(
        what, peer, POLLIN, deadline,
        [&] {
          const ssize_t count = ::recv(connection(peer).get(), at, left, 0);
          if (count > 0) {
            at += count;
            left -= static_cast<size_t>(count);
          }
          return count;
        },
        length);
  };
  Frame frame = {};
  read(&frame, sizeof(frame));
  if (frame.status < 0 && frame.bytes <= kMaxText) {
    std::string text(frame.bytes, '\0');
    read(text.data(), text.size());
    throw Error(static_cast<deisa_status>(frame.status), text);
  }
  if (frame.tag != tag || frame.bytes != bytes) {
    throw Error(DEISA_ERROR_COMMUNICATOR,
                std::string("in the ") + what + ": rank " + rank_text(peer) +
                    " is in another collective, or gives another root or size: all ranks must make "
                    "the same calls in the same order");
  }
  read(data, bytes);
}

void LocalStar::collect(const char* what, uint64_t tag, const void* sent, size_t bytes, void* all,
                        const Deadline& deadline) {
  if (!is_centre()) {
    send(what, 0, tag, sent, bytes, deadline);
    return;
  }
  auto* to = static_cast<char*>(all);
  if (bytes > 0) std::memcpy(to, sent, bytes);
  std::vector<bool> missing(static_cast<size_t>(ranks_.back()) + 1, false);
  bool any = false;
  collecting_ = true;
  for (int peer = 1; peer < size(); ++peer) {
    try {
      receive(what, peer, tag, to + static_cast<size_t>(peer) * bytes, bytes, deadline);
    } catch (const Error& error) {
      if (error.status() != DEISA_ERROR_TIMEOUT) throw;
      missing[static_cast<size_t>(ranks_[static_cast<size_t>(peer)])] = any = true;
    }
  }
  collecting_ = false;
  if (any) throw late(what, to_text(rank_ranges(missing)));
}

void LocalStar::spread(const char* what, uint64_t tag, void* data, size_t bytes, int except,
                       const Deadline& deadline) {
  if (!is_centre()) {
    receive(what, 0, tag, data, bytes, Deadline::after(deadline.seconds() + kGrace));
    return;
  }
  for (int peer = 1; peer < size(); ++peer) {
    if (peer != except) send(what, peer, tag, data, bytes, deadline);
  }
}

void LocalStar::pass_down(const char* what, uint64_t tag, int index, void* data, size_t bytes,
                          const Deadline& deadline) {
  if (is_centre()) {
    send(what, index, tag, data, bytes, deadline);
  } else {
    receive(what, 0, tag, data, bytes, Deadline::after(deadline.seconds() + kGrace));
  }
}

void LocalStar::pass_up(const char* what, uint64_t tag, int index, void* data, size_t bytes,
                        const Deadline& deadline) {
  if (is_centre()) {
    receive(what, index, tag, data, bytes, deadline);
  } else {
    send(what, 0, tag, data, bytes, deadline);
  }
}

void LocalStar::tell_failure(const Error& error) noexcept {
  try {
    const std::string text = std::string(error.what()).substr(0, kMaxText);
    const Frame frame = {0, text.size(), error.status(), 0};
    std::string message(reinterpret_cast<const char*>(&frame), sizeof(frame));
    message += text;
    // What does not fit into a socket's buffer at once is not waited for.
    for (size_t peer = 1; peer < peers_.size(); ++peer) {
      if (peers_[peer]) {
        (void)!::send(peers_[peer].get(), message.data(), message.size(), MSG_NOSIGNAL);
      }
    }
  } catch (...) {
    // Out of memory: the others see the connection end.
  }
}

std::string local_node_key() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  struct stat network = {};
  ::stat("/proc/self/ns/net", &network);
  const char* extra = std::getenv("DEISA_GLOO_NODE");
  return boot + "/" + std::to_string(network.st_ino) + "/" + (extra != nullptr ? extra : "");
}

}  // namespace deisa
