#include "comm/gloo/gloo_communicator.hpp"

#include <gloo/transport/unbound_buffer.h>

#include <cstring>
#include <vector>

#include "base/error.hpp"
#include "comm/rank_ranges.hpp"
#include "comm/signals.hpp"

namespace deisa {
namespace {

using Buffer = std::unique_ptr<gloo::transport::UnboundBuffer>;

Error failed(const std::string& what, const Deadline& deadline, const std::string& ranks,
             const std::exception& reason) {
  if (deadline.expired()) {
    return Error(DEISA_ERROR_TIMEOUT,
                 "timed out in the " + what + ", waiting for rank(s) " + ranks +
                     ": crashed, blocked, behind in the simulation, or themselves waiting for "
                     "another rank (see their output)");
  }
  return Error(DEISA_ERROR_COMMUNICATOR, "the connection to rank(s) " + ranks + " ended in the " +
                                             what + " (" + gloo_message(reason) +
                                             "): crashed, killed, or gave up (see their output)");
}

}  // namespace

// Ranks that disagree on the collective, its root or its size wait in different slots, and time
// out: Gloo would end the process when a message does not fit.
uint64_t GlooCommunicator::slot(int kind, int root, size_t bytes) {
  uint64_t hash = 0x9E3779B97F4A7C15u;
  for (const uint64_t part : {sequence_, static_cast<uint64_t>(kind), static_cast<uint64_t>(root),
                              static_cast<uint64_t>(bytes)}) {
    hash = (hash ^ part) * 0xBF58476D1CE4E5B9u;
    hash ^= hash >> 29;
  }
  return hash;
}

void GlooCommunicator::collective(const char* what, int root, const std::function<void()>& body) {
  const std::string who = "rank " + std::to_string(rank()) + " of " + std::to_string(size()) + ": ";
  if (!broken_.empty()) {
    throw Error(DEISA_ERROR_COMMUNICATOR,
                who + what + " on a communicator that is broken for good: " + broken_);
  }
  if (root < 0 || root >= size()) {
    throw Error(DEISA_ERROR_ARGUMENT, who + what + ": root is " + std::to_string(root) +
                                          ", expected 0 ... " + std::to_string(size() - 1));
  }
  try {
    const NoSigpipe no_sigpipe;
    ++sequence_;
    body();
  } catch (const Error& error) {
    broken_ = error.what();
    throw Error(error.status(), who + error.what());
  } catch (const std::exception& exception) {
    broken_ = gloo_message(exception);
    throw Error(DEISA_ERROR_COMMUNICATOR, who + what + ": " + broken_);
  }
}

void GlooCommunicator::barrier(const Deadline& deadline) {
  collective("barrier", 0, [&] {
    char here = 1;
    std::vector<char> all(rank() == 0 ? static_cast<size_t>(size()) : 0);
    gather_bytes("barrier", &here, 1, all.data(), 0, deadline);
    broadcast_bytes("barrier", &here, 1, 0, deadline);
  });
}

void GlooCommunicator::gather(const void* sent, size_t bytes, void* received, int root,
                              const Deadline& deadline) {
  collective("gather", root,
             [&] { gather_bytes("gather", sent, bytes, received, root, deadline); });
}

void GlooCommunicator::broadcast(void* data, size_t bytes, int root, const Deadline& deadline) {
  collective("broadcast", root, [&] { broadcast_bytes("broadcast", data, bytes, root, deadline); });
}

void GlooCommunicator::gather_bytes(const char* what, const void* sent, size_t bytes,
                                    void* received, int root, const Deadline& deadline) {
  if (bytes == 0) return;
  const uint64_t here = slot(1, root, bytes);
  if (rank() != root) {
    try {
      // Gloo only reads it.
      const Buffer buffer = size() > 1 ? mesh_->buffer(const_cast<void*>(sent), bytes) : nullptr;
      buffer->send(root, here);
      buffer->waitSend(gloo_timeout(deadline));
    } catch (const std::exception& exception) {
      throw failed(what, deadline, std::to_string(root), exception);
    }
    return;
  }
  auto* to = static_cast<char*>(received);
  std::memcpy(to + static_cast<size_t>(root) * bytes, sent, bytes);
  // A buffer for each rank tells which of them failed.
  std::vector<Buffer> buffers(static_cast<size_t>(size()));
  std::vector<bool> missing(buffers.size(), false);
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == root) continue;
    Buffer& buffer = buffers[static_cast<size_t>(peer)];
    buffer = mesh_->buffer(to + static_cast<size_t>(peer) * bytes, bytes);
    try {
      buffer->recv(peer, here);
    } catch (const std::exception& exception) {
      throw failed(what, deadline, std::to_string(peer), exception);
    }
  }
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == root) continue;
    try {
      buffers[static_cast<size_t>(peer)]->waitRecv(gloo_timeout(deadline));
    } catch (const std::exception& exception) {
      missing[static_cast<size_t>(peer)] = true;
      if (!deadline.expired()) throw failed(what, deadline, std::to_string(peer), exception);
    }
  }
  const RankRanges absent = rank_ranges(missing);
  if (!absent.empty()) throw failed(what, deadline, to_text(absent), std::runtime_error(""));
}

// Along a binomial tree.
void GlooCommunicator::broadcast_bytes(const char* what, void* data, size_t bytes, int root,
                                       const Deadline& deadline) {
  if (bytes == 0) return;
  const uint64_t here = slot(2, root, bytes);
  // Ranks counted from the root.
  const int place = (rank() - root + size()) % size();
  const auto rank_at = [&](int at) { return (at + root) % size(); };
  int step = 1;
  for (; step < size(); step *= 2) {
    if ((place & step) == 0) continue;
    const int parent = rank_at(place - step);
    try {
      const Buffer buffer = mesh_->buffer(data, bytes);
      buffer->recv(parent, here);
      buffer->waitRecv(gloo_timeout(deadline));
    } catch (const std::exception& exception) {
      throw failed(what, deadline, std::to_string(parent), exception);
    }
    break;
  }
  std::vector<std::pair<int, Buffer>> sends;
  for (step /= 2; step > 0; step /= 2) {
    if (place + step >= size()) continue;
    const int child = rank_at(place + step);
    sends.emplace_back(child, mesh_->buffer(data, bytes));
    try {
      sends.back().second->send(child, here);
    } catch (const std::exception& exception) {
      throw failed(what, deadline, std::to_string(child), exception);
    }
  }
  for (auto& [child, buffer] : sends) {
    try {
      buffer->waitSend(gloo_timeout(deadline));
    } catch (const std::exception& exception) {
      throw failed(what, deadline, std::to_string(child), exception);
    }
  }
}

}  // namespace deisa
