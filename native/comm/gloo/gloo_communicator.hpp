// Barrier, gather and broadcast over nodes: the ranks of a node go through its lowest rank, and
// only those are connected by Gloo. A full mesh of all ranks would be quadratic.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/gloo/mesh_exchange.hpp"
#include "comm/local_star.hpp"
#include "comm/node_map.hpp"

namespace deisa {

class GlooCommunicator {
 public:
  // `mesh` connects the nodes' leaders, and is empty elsewhere and for a single node; `star`
  // connects the ranks of this node.
  GlooCommunicator(int rank, NodeMap nodes, std::unique_ptr<LocalStar> star,
                   std::unique_ptr<MeshExchange> mesh)
      : rank_(rank), nodes_(std::move(nodes)), star_(std::move(star)), mesh_(std::move(mesh)) {
    // A leader that waits for its node hears of another node's failure.
    if (mesh_) star_->on_wait([this] { mesh_->throw_last_words(); });
  }

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(nodes_.node_of.size()); }

  // Each throws Error; the communicator is broken then.
  void barrier(const Deadline& deadline);
  void gather(const void* sent, size_t bytes, void* received, int root, const Deadline& deadline);
  void broadcast(void* data, size_t bytes, int root, const Deadline& deadline);

 private:
  void collective(const char* what, int root, const std::function<void()>& body);
  void gather_bytes(const char* what, const void* sent, size_t bytes, void* received, int root,
                    const Deadline& deadline);
  void broadcast_bytes(const char* what, void* data, size_t bytes, int root,
                       const Deadline& deadline);
  uint64_t tag(int kind, int root, size_t bytes) const;
  int node() const { return nodes_.node_of[static_cast<size_t>(rank_)]; }
  int node_of(int rank) const { return nodes_.node_of[static_cast<size_t>(rank)]; }

  int rank_;
  NodeMap nodes_;
  std::unique_ptr<LocalStar> star_;
  std::unique_ptr<MeshExchange> mesh_;
  uint64_t sequence_ = 0;  // of collectives, the same on every rank
  std::string broken_;
};

}  // namespace deisa
