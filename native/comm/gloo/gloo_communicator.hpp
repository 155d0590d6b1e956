// Barrier, gather and broadcast over a mesh, with a deadline for each and the names of the ranks
// that did not take part. Gloo's own collectives have a time-out per message, not for the whole,
// and do not say who is missing.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/gloo/mesh.hpp"

namespace deisa {

class GlooCommunicator {
 public:
  explicit GlooCommunicator(std::unique_ptr<Mesh> mesh) : mesh_(std::move(mesh)) {}

  int rank() const { return mesh_->rank(); }
  int size() const { return mesh_->size(); }

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
  uint64_t slot(int kind, int root, size_t bytes);

  std::unique_ptr<Mesh> mesh_;
  uint64_t sequence_ = 0;  // of collectives, the same on every rank
  std::string broken_;
};

}  // namespace deisa
