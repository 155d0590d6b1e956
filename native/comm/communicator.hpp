// A communicator as the bridge uses it: the C table of functions, with time-outs, sizes that differ
// between ranks, and errors as exceptions. Knows nothing of MPI or Gloo.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "deisa/deisa.h"

namespace deisa {

class Communicator {
 public:
  // Takes over the table; `release` is called by the destructor. Throws Error(DEISA_ERROR_ARGUMENT)
  // that lists what is invalid; the table stays the caller's then, and is not released.
  explicit Communicator(const deisa_communicator& table);
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  // One rank without others.
  static std::unique_ptr<Communicator> single();

  // What a rendezvous through Gloo needs.
  struct Rendezvous {
    int rank;
    int size;
    std::string master_address;
    int master_port;
  };
  // Opens libdeisa_gloo.so, which lies beside this library (or DEISA_GLOO_LIBRARY), and joins the
  // rendezvous of the ranks. Throws Error(DEISA_ERROR_TIMEOUT) that says who came and who did not, and
  // Error(DEISA_ERROR_UNSUPPORTED) that says what to install when the library is not there.
  static std::unique_ptr<Communicator> gloo(const Rendezvous& rendezvous, const Deadline& deadline);

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  // A collective has failed, and so will every later one.
  bool is_broken() const noexcept { return !broken_.empty(); }

  // All collective; each throws Error, and the communicator is broken from then on: every later
  // call throws at once and says what broke it.
  // What this thread does while it waits (base/while_waiting.hpp) is done in a barrier too, if the
  // communicator can.
  void barrier(const Deadline& deadline);
  // On root: one string per rank, in rank order. Elsewhere: empty.
  std::vector<std::string> gather(const std::string& sent, int root, const Deadline& deadline);
  // On every rank: root's string.
  std::string broadcast(const std::string& data, int root, const Deadline& deadline);

 private:
  void check_usable(const char* what, int root);
  [[noreturn]] void fail(deisa_status status, const char* what, const std::string& message);
  void check(deisa_status status, const deisa_error& error, const char* what);
  template <typename Call>
  void run(const char* what, const Call& call);
  void broadcast_bytes(const char* what, void* data, size_t bytes, int root,
                       const Deadline& deadline);

  deisa_communicator table_ = {};
  int rank_ = 0;
  int size_ = 1;
  std::string broken_;  // why no call can succeed any more
};

}  // namespace deisa
