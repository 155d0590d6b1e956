#include "comm/gloo/gloo_communicator.hpp"

#include <algorithm>
#include <cstring>

#include "base/error.hpp"
#include "base/shortage.hpp"
#include "base/signals.hpp"

namespace deisa {

// Ranks that disagree on the collective, its root or its size have different tags.
uint64_t GlooCommunicator::tag(int kind, int root, size_t bytes) const {
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
  const auto fail = [&](deisa_status status, const std::string& why) {
    broken_ = why;
    star_->tell_failure(Error(status, why));
    if (mesh_) mesh_->tell_failure(Error(status, why));
    return Error(status, who + why);
  };
  try {
    const NoSigpipe no_sigpipe;
    ++sequence_;
    body();
  } catch (const Error& error) {
    throw fail(error.status(), error.what());
  } catch (const std::bad_alloc& exception) {
    throw fail(DEISA_ERROR_RESOURCE, as_error(exception).what());
  } catch (const std::exception& exception) {
    throw fail(DEISA_ERROR_COMMUNICATOR, std::string(what) + ": " + gloo_message(exception));
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

// To the leaders; from leader to leader, in blocks of equal size; to root.
void GlooCommunicator::gather_bytes(const char* what, const void* sent, size_t bytes,
                                    void* received, int root, const Deadline& deadline) {
  if (bytes == 0) return;
  const uint64_t here = tag(1, root, bytes);
  const bool root_leads = nodes_.index_of(root) == 0;
  if (!star_->is_centre()) {
    star_->collect(what, here, sent, bytes, nullptr, deadline);
    if (rank() == root) {
      star_->pass_down(what, here, star_->index(), received, bytes * static_cast<size_t>(size()),
                       deadline);
    }
    return;
  }
  const size_t block_bytes = nodes_.most_ranks() * bytes;
  std::vector<char> block(block_bytes);
  star_->collect(what, here, sent, bytes, block.data(), deadline);
  const bool here_is_root = node_of(root) == node();
  std::vector<char> blocks;
  if (mesh_) {
    if (here_is_root) blocks.resize(block_bytes * nodes_.ranks.size());
    mesh_->gather(what, here, block.data(), block_bytes, blocks.data(), node_of(root), deadline);
  } else {
    blocks.swap(block);
  }
  if (!here_is_root) return;
  std::vector<char> ordered(root_leads ? 0 : bytes * static_cast<size_t>(size()));
  char* to = root_leads ? static_cast<char*>(received) : ordered.data();
  for (size_t of_node = 0; of_node < nodes_.ranks.size(); ++of_node) {
    const auto& ranks = nodes_.ranks[of_node];
    for (size_t i = 0; i < ranks.size(); ++i) {
      std::memcpy(to + static_cast<size_t>(ranks[i]) * bytes,
                  blocks.data() + of_node * block_bytes + i * bytes, bytes);
    }
  }
  if (!root_leads) {
    star_->pass_down(what, here, nodes_.index_of(root), ordered.data(), ordered.size(), deadline);
  }
}

// From root to its leader, from there to the leaders, from them to their nodes.
void GlooCommunicator::broadcast_bytes(const char* what, void* data, size_t bytes, int root,
                                       const Deadline& deadline) {
  if (bytes == 0) return;
  const uint64_t here = tag(2, root, bytes);
  const int root_index = nodes_.index_of(root);
  if (rank() == root && root_index != 0) {
    star_->pass_up(what, here, root_index, data, bytes, deadline);
    return;
  }
  const bool here_is_root = node_of(root) == node();
  if (star_->is_centre()) {
    if (here_is_root && root_index != 0) {
      star_->pass_up(what, here, root_index, data, bytes, deadline);
    }
    if (mesh_) mesh_->broadcast(what, here, data, bytes, node_of(root), deadline);
  }
  star_->spread(what, here, data, bytes, here_is_root ? root_index : -1, deadline);
}

}  // namespace deisa
