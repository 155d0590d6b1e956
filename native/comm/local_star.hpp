// The ranks of one node, connected to the lowest of them by Unix sockets. Knows no Gloo: only the
// nodes' lowest ranks need a network.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"

namespace deisa {

class LocalStar {
 public:
  // The centre, ranks[0]: listens at a name that ends with this object and leaves no file.
  // `ranks` are the ranks of the node, ascending.
  explicit LocalStar(std::vector<int> ranks);
  // What the others need to connect: a name and a token that proves who told them.
  std::string address() const { return name_ + " " + token_; }
  // Waits for all of them. Throws Error that names who did not come.
  void accept(const Deadline& deadline);

  // Another rank of the node, number `index` of `ranks`.
  LocalStar(std::vector<int> ranks, int index, const std::string& address,
            const Deadline& deadline);

  LocalStar(const LocalStar&) = delete;
  LocalStar& operator=(const LocalStar&) = delete;

  // Called now and then while this rank waits; may throw Error, which ends the wait.
  void on_wait(std::function<void()> check) { on_wait_ = std::move(check); }

  bool is_centre() const noexcept { return index_ == 0; }
  int index() const noexcept { return index_; }
  int size() const noexcept { return static_cast<int>(ranks_.size()); }

  // Everyone's `bytes` bytes to the centre; `all` holds size()*bytes there, and is not read
  // elsewhere. `what` and `tag` tell collectives apart: a rank in another one is an error.
  void collect(const char* what, uint64_t tag, const void* sent, size_t bytes, void* all,
               const Deadline& deadline);
  // The centre's bytes to everyone but `except`, or -1.
  void spread(const char* what, uint64_t tag, void* data, size_t bytes, int except,
              const Deadline& deadline);
  // From the centre to one other rank, and back; called by these two only.
  void pass_down(const char* what, uint64_t tag, int index, void* data, size_t bytes,
                 const Deadline& deadline);
  void pass_up(const char* what, uint64_t tag, int index, void* data, size_t bytes,
               const Deadline& deadline);
  // Tells those whom this rank is connected to why it cannot go on. They get this error in their next
  // call, also when this rank has closed the connection by then.
  void tell_failure(const Error& error) noexcept;

 private:
  struct Frame;
  void send(const char* what, int peer, uint64_t tag, const void* data, size_t bytes,
            const Deadline& deadline);
  void receive(const char* what, int peer, uint64_t tag, void* data, size_t bytes,
               const Deadline& deadline);
  void transfer(const char* what, int peer, short events, const Deadline& deadline,
                const std::function<long()>& attempt, size_t bytes);
  void wait(const char* what, int peer, short events, const Deadline& deadline);
  // Throws: the connection has ended. Says what that rank said last, if it gave up.
  [[noreturn]] void throw_ended(const char* what, int peer, const std::string& why);
  std::string rank_text(int peer) const {
    return std::to_string(ranks_[static_cast<size_t>(peer)]);
  }
  FileDescriptor& connection(int peer) { return peers_[static_cast<size_t>(peer)]; }

  std::vector<int> ranks_;
  int index_ = 0;
  std::function<void()> on_wait_;
  bool collecting_ = false;  // those after the one that is waited for still owe their part
  std::string name_;
  std::string token_;
  FileDescriptor listener_;
  std::vector<FileDescriptor> peers_;  // by index; elsewhere than at the centre only [0]
};

// The node of this process: equal where an abstract Unix socket reaches. DEISA_GLOO_NODE adds to
// it, so that tests have several nodes on one machine.
std::string local_node_key();

}  // namespace deisa
