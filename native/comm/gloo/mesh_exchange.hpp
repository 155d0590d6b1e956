// Gather and broadcast over a mesh, with a deadline for the whole and the names of the ranks that
// did not take part. Gloo's own collectives have a time-out per message, and do not say who is
// missing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "comm/gloo/mesh.hpp"

namespace deisa {

class MeshExchange {
 public:
  // `world_ranks[i]` is what member i is called in errors, ascending.
  MeshExchange(std::unique_ptr<Mesh> mesh, std::vector<int> world_ranks);

  int rank() const { return mesh_->rank(); }
  int size() const { return mesh_->size(); }

  // Ranks are those of the mesh. Members that give different tags wait for each other until the
  // deadline: Gloo would end the process when a message does not fit. Each throws Error.
  void gather(const char* what, uint64_t tag, const void* sent, size_t bytes, void* received,
              int root, const Deadline& deadline);
  void broadcast(const char* what, uint64_t tag, void* data, size_t bytes, int root,
                 const Deadline& deadline);
  // Tells the other members why this one cannot go on. They get this error in their next wait.
  void tell_failure(const Error& error) noexcept;
  // Throws what a member has told, if any has.
  void throw_last_words();

 private:
  using Buffer = std::unique_ptr<gloo::transport::UnboundBuffer>;
  // A member's last words: memory that it may write to at any time.
  struct LastWords {
    int32_t status;  // 0: none yet
    char text[1020];
  };
  enum class Way { kSend, kReceive };

  bool has_last_words() const;
  // Waits for one message, and for the last words of whomever meanwhile. Returns whether it came:
  // after `slice` it need not have. Throws Error.
  bool wait(const std::string& what, int member, const Buffer& buffer, Way way,
            const Deadline& deadline, double slice);
  void wait(const std::string& what, int member, const Buffer& buffer, Way way,
            const Deadline& deadline) {
    wait(what, member, buffer, way, deadline, deadline.seconds() + 1);
  }
  // Throws what a member has said last, or that the connection to `member` has ended.
  [[noreturn]] void fail(const std::string& what, int member, const Deadline& deadline,
                         const std::exception& reason);
  std::string name(int member) const {
    return std::to_string(world_ranks_[static_cast<size_t>(member)]);
  }

  std::unique_ptr<Mesh> mesh_;
  std::vector<int> world_ranks_;
  std::vector<LastWords> words_;  // by member
  std::vector<Buffer> listening_;
  bool told_ = false;  // a member has given up, and everybody knows
};

}  // namespace deisa
