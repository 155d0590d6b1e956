// Gather and broadcast over a mesh, with a deadline for the whole and the names of the ranks that
// did not take part. Gloo's own collectives have a time-out per message, and do not say who is
// missing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/gloo/mesh.hpp"

namespace deisa {

class MeshExchange {
 public:
  // `world_ranks[i]` is what member i is called in errors, ascending.
  MeshExchange(std::unique_ptr<Mesh> mesh, std::vector<int> world_ranks)
      : mesh_(std::move(mesh)), world_ranks_(std::move(world_ranks)) {}

  int rank() const { return mesh_->rank(); }
  int size() const { return mesh_->size(); }

  // Ranks are those of the mesh. Members that give different tags wait for each other until the
  // deadline: Gloo would end the process when a message does not fit. Each throws Error.
  void gather(const char* what, uint64_t tag, const void* sent, size_t bytes, void* received,
              int root, const Deadline& deadline);
  void broadcast(const char* what, uint64_t tag, void* data, size_t bytes, int root,
                 const Deadline& deadline);

 private:
  std::string name(int member) const {
    return std::to_string(world_ranks_[static_cast<size_t>(member)]);
  }

  std::unique_ptr<Mesh> mesh_;
  std::vector<int> world_ranks_;
};

}  // namespace deisa
