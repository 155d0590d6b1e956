// Barrier, gather and broadcast over a duplicate of an MPI communicator, polled with a deadline.
//
// MPI's own barrier and gather do not tell who is missing: here every rank sends to the root, which
// so knows. A rank whose time is up asks rank 0, and rank 0 tells all others why it gives up.
#pragma once

#include <mpi.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.hpp"

namespace deisa {

class MpiCommunicator {
 public:
  // Messages are cut into pieces: MPI counts with int, and the pieces bound the memory that is
  // kept.
  static constexpr size_t kPiece = size_t{64} << 20;

  // Collective: duplicates `comm`. Throws Error.
  explicit MpiCommunicator(MPI_Comm comm, size_t piece = kPiece);
  // Frees the duplicate, unless it is broken or MPI was finalised.
  ~MpiCommunicator();
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Each throws Error; the communicator is broken then.
  void barrier(const Deadline& deadline);
  void gather(const void* sent, size_t bytes, void* received, int root, const Deadline& deadline);
  void broadcast(void* data, size_t bytes, int root, const Deadline& deadline);

 private:
  void check_usable(const char* what, int root);
  void check(int code, const char* what);
  // Until all are completed. `whom` says for whom it waits; completed requests are null then.
  using Requests = std::vector<MPI_Request>;
  void wait(Requests& requests, const char* what, const std::function<std::string()>& whom,
            const Deadline& deadline);
  void wait(MPI_Request request, const char* what, const std::string& whom,
            const Deadline& deadline);
  void wait_for_all(Requests& of_ranks, const char* what, const Deadline& deadline);
  [[noreturn]] void give_up(const std::string& why);
  void tell(int rank) noexcept;
  std::optional<std::string> hear();

  // MPI reads and writes these, also after a time-out: a collective cannot be cancelled.
  struct Memory {
    std::vector<char> sent;
    std::vector<char> received;
    std::string why;  // this rank has given up
  };

  MPI_Comm comm_ = MPI_COMM_NULL;
  const size_t piece_;
  int rank_ = 0;
  int size_ = 1;
  std::unique_ptr<Memory> memory_ = std::make_unique<Memory>();
  std::string broken_;
};

// Throws Error(DEISA_ERROR_ARGUMENT) unless this thread may call MPI now.
void check_mpi_is_usable();

}  // namespace deisa
