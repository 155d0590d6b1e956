#include "comm/mpi/mpi_communicator.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/error.hpp"
#include "base/while_waiting.hpp"
#include "comm/rank_ranges.hpp"

namespace deisa {
namespace {

// Pauses between polls: none at first, as ranks mostly arrive together.
constexpr int kBusyPolls = 200;
constexpr std::chrono::microseconds kFirstPause{20};
constexpr std::chrono::microseconds kLongestPause{1000};

// Of the messages on the duplicate.
enum Tag { kArrived = 1, kAllArrived, kPart, kGivenUp };

constexpr size_t kLongestText = 1500;
// Seconds for rank 0's answer to a rank that has given up. It looks every WhileWaiting::kInterval,
// if it is in a call.
constexpr double kAnswer = 2.0;

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
  if (const auto said = hear()) give_up(std::string(what) + ": " + *said);
}

void MpiCommunicator::check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  broken_ = std::string(what) + " failed: " + mpi_text(code);
  throw Error(DEISA_ERROR_COMMUNICATOR, "rank " + std::to_string(rank_) + " of " +
                                            std::to_string(size_) + ": " + broken_ +
                                            "; the communicator is broken for good");
}

// To one that may wait for this one, or will.
void MpiCommunicator::tell(int rank) noexcept {
  MPI_Request request = MPI_REQUEST_NULL;
  const std::string& why = memory_->why;
  // As short as it is, it leaves at once.
  if (MPI_Isend(why.data(), static_cast<int>(why.size()), MPI_BYTE, rank, kGivenUp, comm_,
                &request) == MPI_SUCCESS) {
    MPI_Request_free(&request);
  }
}

// What a rank has said that has given up.
std::optional<std::string> MpiCommunicator::hear() {
  int there = 0;
  MPI_Status status = {};
  check(MPI_Iprobe(MPI_ANY_SOURCE, kGivenUp, comm_, &there, &status), "MPI_Iprobe");
  if (there == 0) return std::nullopt;
  int bytes = 0;
  MPI_Get_count(&status, MPI_BYTE, &bytes);
  std::string text(static_cast<size_t>(bytes), '\0');
  check(MPI_Recv(text.data(), bytes, MPI_BYTE, status.MPI_SOURCE, kGivenUp, comm_, &status),
        "MPI_Recv");
  return "rank " + std::to_string(status.MPI_SOURCE) + " has given up: " + text;
}

void MpiCommunicator::give_up(const std::string& why) {
  broken_ = why;
  if (rank_ == 0) {
    memory_->why = why.substr(0, kLongestText);
    for (int rank = 1; rank < size_; ++rank) tell(rank);
  }
  throw Error(DEISA_ERROR_TIMEOUT, "rank " + std::to_string(rank_) + " of " +
                                       std::to_string(size_) + ": " + broken_ +
                                       ". MPI cannot cancel what has begun, so this communicator "
                                       "is broken for good");
}

void MpiCommunicator::wait(Requests& requests, const char* what,
                           const std::function<std::string()>& whom, const Deadline& deadline) {
  const auto count = static_cast<int>(requests.size());
  std::vector<int> completed(requests.size());
  auto pause = kFirstPause;
  auto looked = Deadline::Clock::now();
  for (int polls = 0;; ++polls) {
    int done = 0;
    check(MPI_Testsome(count, requests.data(), &done, completed.data(), MPI_STATUSES_IGNORE), what);
    if (done == MPI_UNDEFINED) return;
    if (done > 0) continue;
    if (deadline.expired()) break;
    if (const auto now = Deadline::Clock::now(); now - looked >= WhileWaiting::kInterval) {
      looked = now;
      WhileWaiting::run();
      if (const auto said = hear()) {
        give_up(std::string(what) + ": " + *said +
                (rank_ == 0 ? "; this rank still waited for " + whom() : ""));
      }
    }
    if (polls < kBusyPolls) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, kLongestPause);
    }
  }
  const std::string why = std::string(what) + " timed out, waiting for " + whom() +
                          " (crashed, blocked, or behind in the simulation)";
  if (rank_ == 0) give_up(why);
  memory_->why = why;
  tell(0);
  for (const Deadline answer = Deadline::after(kAnswer); !answer.expired();) {
    if (const auto said = hear()) give_up(std::string(what) + ": " + *said);
    std::this_thread::sleep_for(kLongestPause);
  }
  give_up(why);
}

void MpiCommunicator::wait(MPI_Request request, const char* what, const std::string& whom,
                           const Deadline& deadline) {
  Requests one = {request};
  wait(one, what, [&] { return whom; }, deadline);
}

// A request for each other rank.
void MpiCommunicator::wait_for_all(Requests& of_ranks, const char* what, const Deadline& deadline) {
  const auto missing = [&] {
    std::vector<bool> open;
    for (const MPI_Request request : of_ranks) open.push_back(request != MPI_REQUEST_NULL);
    return "rank(s) " + to_text(rank_ranges(open));
  };
  wait(of_ranks, what, missing, deadline);
}

void MpiCommunicator::barrier(const Deadline& deadline) {
  const char* const what = "the barrier";
  check_usable("barrier", 0);
  if (rank_ != 0) {
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Isend(nullptr, 0, MPI_BYTE, 0, kArrived, comm_, &request), "MPI_Isend");
    wait(request, what, "rank 0", deadline);
    check(MPI_Irecv(nullptr, 0, MPI_BYTE, 0, kAllArrived, comm_, &request), "MPI_Irecv");
    wait(request, what, "rank 0", deadline);
    return;
  }
  Requests requests(static_cast<size_t>(size_), MPI_REQUEST_NULL);
  for (int rank = 1; rank < size_; ++rank) {
    check(MPI_Irecv(nullptr, 0, MPI_BYTE, rank, kArrived, comm_,
                    &requests[static_cast<size_t>(rank)]),
          "MPI_Irecv");
  }
  wait_for_all(requests, what, deadline);
  for (int rank = 1; rank < size_; ++rank) {
    check(MPI_Isend(nullptr, 0, MPI_BYTE, rank, kAllArrived, comm_,
                    &requests[static_cast<size_t>(rank)]),
          "MPI_Isend");
  }
  wait_for_all(requests, what, deadline);
}

void MpiCommunicator::gather(const void* sent, size_t bytes, void* received, int root,
                             const Deadline& deadline) {
  const char* const what = "the gather";
  check_usable("gather", root);
  const auto ranks = static_cast<size_t>(size_);
  const size_t piece = std::max<size_t>(1, piece_ / ranks);
  const auto* from = static_cast<const char*>(sent);
  auto* to = static_cast<char*>(received);
  for (size_t done = 0; done < bytes;) {
    const size_t now = std::min(piece, bytes - done);
    const int count = static_cast<int>(now);
    if (rank_ != root) {
      memory_->sent.assign(from + done, from + done + now);
      MPI_Request request = MPI_REQUEST_NULL;
      check(MPI_Isend(memory_->sent.data(), count, MPI_BYTE, root, kPart, comm_, &request),
            "MPI_Isend");
      wait(request, what, "rank " + std::to_string(root), deadline);
      done += now;
      continue;
    }
    memory_->received.resize(now * ranks);
    Requests requests(ranks, MPI_REQUEST_NULL);
    for (int rank = 0; rank < size_; ++rank) {
      const auto place = static_cast<size_t>(rank);
      if (rank == root) continue;
      check(MPI_Irecv(memory_->received.data() + place * now, count, MPI_BYTE, rank, kPart, comm_,
                      &requests[place]),
            "MPI_Irecv");
    }
    wait_for_all(requests, what, deadline);
    for (size_t rank = 0; rank < ranks; ++rank) {
      const bool own = rank == static_cast<size_t>(root);
      std::memcpy(to + rank * bytes + done,
                  own ? from + done : memory_->received.data() + rank * now, now);
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
    wait(request, "the broadcast",
         rank_ == root ? "at least one of the other ranks"
                       : "rank " + std::to_string(root) + " or a rank between",
         deadline);
    if (rank_ != root) std::memcpy(bytes_of + done, memory_->sent.data(), now);
    done += now;
  }
  *memory_ = Memory();
}

}  // namespace deisa
