#include "comm/mpi/mpi_communicator.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/error.hpp"
#include "base/while_waiting.hpp"

namespace deisa {
namespace {

// Pauses between polls: none at first, as ranks mostly arrive together.
constexpr int kBusyPolls = 200;
constexpr std::chrono::microseconds kFirstPause{20};
constexpr std::chrono::microseconds kLongestPause{1000};

bool finalised() {
  int yes = 0;
  MPI_Finalized(&yes);
  return yes != 0;
}

std::string mpi_text(int code) {
  char text[MPI_MAX_ERROR_STRING + 1] = "";
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS || length <= 0) {
    return "MPI error " + std::to_string(code);
  }
  return std::string(text, static_cast<size_t>(length));
}

// Makes errors of a communicator return, for as long as it lives.
class ErrorsReturn {
 public:
  explicit ErrorsReturn(MPI_Comm comm) : comm_(comm) {
    MPI_Comm_get_errhandler(comm_, &before_);
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  }
  ~ErrorsReturn() {
    MPI_Comm_set_errhandler(comm_, before_);
    MPI_Errhandler_free(&before_);
  }
  ErrorsReturn(const ErrorsReturn&) = delete;
  ErrorsReturn& operator=(const ErrorsReturn&) = delete;

 private:
  MPI_Comm comm_;
  MPI_Errhandler before_ = MPI_ERRHANDLER_NULL;
};

}  // namespace

void check_mpi_is_usable() {
  int initialised = 0;
  MPI_Initialized(&initialised);
  if (initialised == 0) {
    throw Error(DEISA_ERROR_ARGUMENT, "MPI is not initialised: call MPI_Init before");
  }
  if (finalised()) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "MPI was finalised: close the bridge before MPI_Finalize is called");
  }
  int level = MPI_THREAD_SINGLE;
  int main_thread = 0;
  MPI_Query_thread(&level);
  MPI_Is_thread_main(&main_thread);
  if (level < MPI_THREAD_SERIALIZED && main_thread == 0) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "this thread may not call MPI: call from the thread that initialised MPI, or "
                "initialise it with MPI_Init_thread and at least MPI_THREAD_SERIALIZED");
  }
}

MpiCommunicator::MpiCommunicator(MPI_Comm comm, size_t piece) : piece_(piece) {
  check_mpi_is_usable();
  if (comm == MPI_COMM_NULL) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "the communicator is MPI_COMM_NULL: give one that this rank belongs to");
  }
  const ErrorsReturn errors_return(comm);
  int inter = 0;
  check(MPI_Comm_test_inter(comm, &inter), "MPI_Comm_test_inter");
  if (inter != 0) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "the communicator is an intercommunicator: give an intracommunicator of all ranks "
                "that have a bridge");
  }
  check(MPI_Comm_dup(comm, &comm_), "MPI_Comm_dup");
  check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

MpiCommunicator::~MpiCommunicator() {
  if (!broken_.empty()) {
    // A collective may still be under way: MPI may write to its memory until the process ends.
    static_cast<void>(memory_.release());
    return;
  }
  // Freeing is collective by name, but local in effect (MPI 4.0, 7.4.3), so abandoning does not
  // hang.
  if (comm_ != MPI_COMM_NULL && !finalised()) MPI_Comm_free(&comm_);
}

void MpiCommunicator::check_usable(const char* what, int root) {
  const std::string where =
      "rank " + std::to_string(rank_) + " of " + std::to_string(size_) + ": " + what + ": ";
  if (!broken_.empty()) {
    throw Error(DEISA_ERROR_COMMUNICATOR,
                where + "the communicator is broken for good: " + broken_);
  }
  if (root < 0 || root >= size_) {
    throw Error(DEISA_ERROR_ARGUMENT, where + "root is " + std::to_string(root) +
                                          ", expected 0 ... " + std::to_string(size_ - 1));
  }
  try {
    check_mpi_is_usable();
  } catch (const Error& error) {
    throw Error(error.status(), where + error.what());
  }
}

void MpiCommunicator::check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  broken_ = std::string(what) + " failed: " + mpi_text(code);
  throw Error(DEISA_ERROR_COMMUNICATOR, "rank " + std::to_string(rank_) + " of " +
                                            std::to_string(size_) + ": " + broken_ +
                                            "; the communicator is broken for good");
}

void MpiCommunicator::wait(MPI_Request request, const char* what, const std::string& whom,
                           const Deadline& deadline) {
  auto pause = kFirstPause;
  auto looked = Deadline::Clock::now();
  for (int polls = 0;; ++polls) {
    int done = 0;
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    if (done != 0) return;
    if (deadline.expired()) break;
    if (const auto now = Deadline::Clock::now(); now - looked >= WhileWaiting::kInterval) {
      looked = now;
      WhileWaiting::run();
    }
    if (polls < kBusyPolls) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, kLongestPause);
    }
  }
  broken_ = std::string(what) + " timed out, waiting for " + whom;
  throw Error(DEISA_ERROR_TIMEOUT,
              "rank " + std::to_string(rank_) + " of " + std::to_string(size_) + ": " + broken_ +
                  " (crashed, blocked, or behind in the simulation; MPI does not tell which). MPI "
                  "cannot cancel a collective, so this communicator is broken for good");
}

void MpiCommunicator::barrier(const Deadline& deadline) {
  check_usable("barrier", 0);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier");
  wait(request, "MPI_Ibarrier", "at least one of the other ranks", deadline);
}

void MpiCommunicator::gather(const void* sent, size_t bytes, void* received, int root,
                             const Deadline& deadline) {
  check_usable("gather", root);
  const auto ranks = static_cast<size_t>(size_);
  const size_t piece = std::max<size_t>(1, piece_ / ranks);
  const auto* from = static_cast<const char*>(sent);
  auto* to = static_cast<char*>(received);
  for (size_t done = 0; done < bytes;) {
    const size_t now = std::min(piece, bytes - done);
    memory_->sent.assign(from + done, from + done + now);
    memory_->received.resize(rank_ == root ? now * ranks : 0);
    MPI_Request request = MPI_REQUEST_NULL;
    const int count = static_cast<int>(now);
    check(MPI_Igather(memory_->sent.data(), count, MPI_BYTE, memory_->received.data(), count,
                      MPI_BYTE, root, comm_, &request),
          "MPI_Igather");
    wait(request, "MPI_Igather",
         rank_ == root ? "at least one of the other ranks" : "rank " + std::to_string(root),
         deadline);
    if (rank_ == root) {
      for (size_t rank = 0; rank < ranks; ++rank) {
        std::memcpy(to + rank * bytes + done, memory_->received.data() + rank * now, now);
      }
    }
    done += now;
  }
  *memory_ = Memory();
}

void MpiCommunicator::broadcast(void* data, size_t bytes, int root, const Deadline& deadline) {
  check_usable("broadcast", root);
  auto* bytes_of = static_cast<char*>(data);
  for (size_t done = 0; done < bytes;) {
    const size_t now = std::min(piece_, bytes - done);
    memory_->sent.resize(now);
    if (rank_ == root) std::memcpy(memory_->sent.data(), bytes_of + done, now);
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibcast(memory_->sent.data(), static_cast<int>(now), MPI_BYTE, root, comm_, &request),
          "MPI_Ibcast");
    wait(request, "MPI_Ibcast",
         rank_ == root ? "at least one of the other ranks"
                       : "rank " + std::to_string(root) + " or a rank between",
         deadline);
    if (rank_ != root) std::memcpy(bytes_of + done, memory_->sent.data(), now);
    done += now;
  }
  *memory_ = Memory();
}

}  // namespace deisa
