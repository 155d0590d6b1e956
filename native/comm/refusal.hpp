// How rank 0 tells the others that it has given up, when it cannot by the rendezvous store: by
// datagrams to the same port number, which is free where another program has the TCP port. Ranks
// ask while nobody answers as rank 0; a question is as long as its answer, and carries a number
// that the answer repeats.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/address.hpp"
#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/fork.hpp"
#include "comm/rank_ranges.hpp"

namespace deisa {

// On rank 0. Answers from a thread of its own while it lives.
class Refusal {
 public:
  // `size` ranks are expected, this one among them. Where no datagram can be received, nobody is
  // told; throws nothing.
  Refusal(const std::string& master_address, int port, int size, const Error& why) noexcept;
  ~Refusal();
  Refusal(const Refusal&) = delete;
  Refusal& operator=(const Refusal&) = delete;

  // Until every other rank has asked.
  void wait_until_told(const Deadline& deadline);

 private:
  void run() noexcept;
  void answer(int fd) noexcept;

  std::string why_;
  deisa_status status_;
  std::vector<FileDescriptor> sockets_;
  FileDescriptor wake_up_;
  std::mutex mutex_;
  std::condition_variable asked_;
  std::vector<bool> told_;  // by rank
  int left_ = 0;
  std::thread thread_;
  OwnProcess process_;
};

// When rank 0 has no bridge any more to hold it: it answers until the process ends, or until another
// one, or none, is kept.
void keep_refusal(std::unique_ptr<Refusal> refusal) noexcept;

// On the others.
class RefusalQuestion {
 public:
  RefusalQuestion();
  // For `ranks` of a world of `size`.
  void ask(const Address& master, const RankRanges& ranks, int size) noexcept;
  // Waits for an answer to what was asked: why rank 0 has given up.
  std::optional<Error> answer(const Deadline& deadline);

 private:
  const uint64_t number_;
  std::vector<std::pair<int, FileDescriptor>> sockets_;  // by family
};

}  // namespace deisa
