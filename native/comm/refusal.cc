#include "comm/refusal.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "base/shortage.hpp"
#include "comm/listening_socket.hpp"
#include "comm/store_protocol.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;

constexpr size_t kDatagram = 1200;  // fits into one packet everywhere
constexpr size_t kMostText = 1000;
constexpr size_t kMostRanges = 140;  // of a question

std::string padded(std::string bytes) {
  bytes.resize(kDatagram);
  return bytes;
}

uint64_t random_number() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) {
    throw Error(DEISA_ERROR_INTERNAL, "getrandom gave too few bytes");
  }
  return number;
}

std::vector<pollfd> readable(const std::vector<int>& fds) {
  std::vector<pollfd> entries;
  for (const int fd : fds) entries.push_back({fd, POLLIN, 0});
  return entries;
}

}  // namespace

Refusal::Refusal(const std::string& master_address, int port, int size, const Error& why) noexcept
    : status_(why.status()) {
  try {
    why_ = std::string(why.what()).substr(0, kMostText);
    told_.resize(static_cast<size_t>(std::max(size, 1)), false);
    left_ = size - 1;
    wake_up_ = FileDescriptor(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    sockets_ = bind_for_ranks(master_address, port, SOCK_DGRAM);
    thread_ = start_thread("the last words of rank 0", [this] { run(); });
  } catch (...) {
    // The others wait for their time-out, as they would for a rank 0 that was never started.
    sockets_.clear();
  }
}

Refusal::~Refusal() {
  if (!thread_.joinable()) return;
  if (!process_.is_this()) {  // a forked child has no such thread
    thread_.detach();
    return;
  }
  const uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_up_.get(), &one, sizeof(one));
  thread_.join();
}

void Refusal::wait_until_told(const Deadline& deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!thread_.joinable()) return;
  asked_.wait_until(lock, deadline.time_point(), [this] { return left_ <= 0; });
}

void Refusal::run() noexcept {
  try {
    std::vector<int> fds = {wake_up_.get()};
    for (const FileDescriptor& socket : sockets_) fds.push_back(socket.get());
    std::vector<pollfd> entries = readable(fds);
    while (true) {
      if (::poll(entries.data(), entries.size(), -1) < 0) continue;
      if (entries.front().revents != 0) return;
      for (size_t i = 1; i < entries.size(); ++i) {
        if (entries[i].revents != 0) answer(entries[i].fd);
      }
    }
  } catch (...) {
    // No memory.
  }
}

void Refusal::answer(int fd) noexcept {
  try {
    std::array<char, kDatagram + 1> bytes;
    Address from;
    from.length = sizeof(from.storage);
    auto* raw = reinterpret_cast<sockaddr*>(&from.storage);
    const ssize_t got = ::recvfrom(fd, bytes.data(), bytes.size(), MSG_DONTWAIT, raw, &from.length);
    if (got != kDatagram) return;
    store::Decoder decoder(std::string_view(bytes.data(), kDatagram).substr(store::kLengthBytes));
    if (static_cast<Type>(decoder.u8()) != Type::kWhy ||
        decoder.raw(store::kMagic.size()) != store::kMagic) {
      return;
    }
    const uint64_t number = decoder.u64();
    const std::string reply = padded(
        Encoder(Type::kGaveUp).raw(store::kMagic).u64(number).i32(status_).text(why_).frame());
    (void)!::sendto(fd, reply.data(), reply.size(), MSG_DONTWAIT, from.get(), from.length);
    const store::Attendance asking = decoder.attendance();
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [first, last] : asking.came) {
      for (int rank = std::max(first, 1); rank <= last; ++rank) {
        const auto at = static_cast<size_t>(rank);
        if (at >= told_.size()) break;
        if (!told_[at]) --left_;
        told_[at] = true;
      }
    }
    asked_.notify_all();
  } catch (...) {
    // Not one of ours.
  }
}

void keep_refusal(std::unique_ptr<Refusal> refusal) noexcept {
  static std::mutex mutex;
  static std::unique_ptr<Refusal> kept;
  const std::lock_guard<std::mutex> lock(mutex);
  kept = std::move(refusal);
}

RefusalQuestion::RefusalQuestion() : number_(random_number()) {}

void RefusalQuestion::ask(const Address& master, const RankRanges& ranks, int size) noexcept {
  try {
    auto known = std::find_if(sockets_.begin(), sockets_.end(),
                              [&](const auto& one) { return one.first == master.family(); });
    if (known == sockets_.end()) {
      const int type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
      sockets_.emplace_back(master.family(), ::socket(master.family(), type, 0));
      known = std::prev(sockets_.end());
    }
    const FileDescriptor& socket = known->second;
    store::Attendance asking = {size, ranks};
    asking.came.resize(std::min(asking.came.size(), kMostRanges));
    const std::string question =
        padded(Encoder(Type::kWhy).raw(store::kMagic).u64(number_).attendance(asking).frame());
    (void)!::sendto(socket.get(), question.data(), question.size(), 0, master.get(), master.length);
  } catch (...) {
    // No answer then.
  }
}

std::optional<Error> RefusalQuestion::answer(const Deadline& deadline) {
  std::vector<int> fds;
  for (const auto& one : sockets_) fds.push_back(one.second.get());
  do {
    std::vector<pollfd> entries = readable(fds);
    if (::poll(entries.data(), entries.size(), deadline.poll_timeout()) <= 0) continue;
    for (const pollfd& entry : entries) {
      std::array<char, kDatagram + 1> bytes;
      if (entry.revents == 0 || ::recv(entry.fd, bytes.data(), bytes.size(), 0) != kDatagram) {
        continue;
      }
      try {
        store::Decoder decoder(
            std::string_view(bytes.data(), kDatagram).substr(store::kLengthBytes));
        if (static_cast<Type>(decoder.u8()) != Type::kGaveUp ||
            decoder.raw(store::kMagic.size()) != store::kMagic || decoder.u64() != number_) {
          continue;
        }
        const auto status = static_cast<deisa_status>(decoder.i32());
        return Error(status < 0 ? status : DEISA_ERROR_COMMUNICATOR,
                     std::string(decoder.text(kMostText)));
      } catch (const store::Malformed&) {
      }
    }
  } while (!deadline.expired());
  return std::nullopt;
}

}  // namespace deisa
