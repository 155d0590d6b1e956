#include "comm/gloo/mesh_exchange.hpp"

#include <gloo/transport/unbound_buffer.h>

#include <cstring>
#include <vector>

#include "base/error.hpp"
#include "comm/rank_ranges.hpp"

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

void MeshExchange::gather(const char* what, uint64_t tag, const void* sent, size_t bytes,
                          void* received, int root, const Deadline& deadline) {
  if (bytes == 0) return;
  if (rank() != root) {
    try {
      // Gloo only reads it.
      const Buffer buffer = size() > 1 ? mesh_->buffer(const_cast<void*>(sent), bytes) : nullptr;
      buffer->send(root, tag);
      buffer->waitSend(gloo_timeout(deadline));
    } catch (const std::exception& exception) {
      throw failed(what, deadline, name(root), exception);
    }
    return;
  }
  auto* to = static_cast<char*>(received);
  std::memcpy(to + static_cast<size_t>(root) * bytes, sent, bytes);
  // A buffer for each rank tells which of them failed.
  std::vector<Buffer> buffers(static_cast<size_t>(size()));
  std::vector<bool> missing(static_cast<size_t>(world_ranks_.back()) + 1, false);
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == root) continue;
    Buffer& buffer = buffers[static_cast<size_t>(peer)];
    buffer = mesh_->buffer(to + static_cast<size_t>(peer) * bytes, bytes);
    try {
      buffer->recv(peer, tag);
    } catch (const std::exception& exception) {
      throw failed(what, deadline, name(peer), exception);
    }
  }
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == root) continue;
    try {
      buffers[static_cast<size_t>(peer)]->waitRecv(gloo_timeout(deadline));
    } catch (const std::exception& exception) {
      missing[static_cast<size_t>(world_ranks_[static_cast<size_t>(peer)])] = true;
      if (!deadline.expired()) throw failed(what, deadline, name(peer), exception);
    }
  }
  const RankRanges absent = rank_ranges(missing);
  if (!absent.empty()) throw failed(what, deadline, to_text(absent), std::runtime_error(""));
}

// Along a binomial tree.
void MeshExchange::broadcast(const char* what, uint64_t tag, void* data, size_t bytes, int root,
                             const Deadline& deadline) {
  if (bytes == 0) return;
  // Ranks counted from the root.
  const int place = (rank() - root + size()) % size();
  const auto rank_at = [&](int at) { return (at + root) % size(); };
  int step = 1;
  for (; step < size(); step *= 2) {
    if ((place & step) == 0) continue;
    const int parent = rank_at(place - step);
    try {
      const Buffer buffer = mesh_->buffer(data, bytes);
      buffer->recv(parent, tag);
      buffer->waitRecv(gloo_timeout(deadline));
    } catch (const std::exception& exception) {
      throw failed(what, deadline, name(parent), exception);
    }
    break;
  }
  std::vector<std::pair<int, Buffer>> sends;
  for (step /= 2; step > 0; step /= 2) {
    if (place + step >= size()) continue;
    const int child = rank_at(place + step);
    sends.emplace_back(child, mesh_->buffer(data, bytes));
    try {
      sends.back().second->send(child, tag);
    } catch (const std::exception& exception) {
      throw failed(what, deadline, name(child), exception);
    }
  }
  for (auto& [child, buffer] : sends) {
    try {
      buffer->waitSend(gloo_timeout(deadline));
    } catch (const std::exception& exception) {
      throw failed(what, deadline, name(child), exception);
    }
  }
}

}  // namespace deisa
