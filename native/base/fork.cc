#include "base/fork.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>

namespace deisa {
namespace {

// One bit for each descriptor, so that marking takes no lock and no memory. Linux allows no more
// than these by default; one beyond them is inherited by children.
constexpr size_t kMost = size_t{1} << 20;
constexpr size_t kBits = 64;

std::array<std::atomic<uint64_t>, kMost / kBits> marked;
std::atomic<size_t> used_words{0};
std::atomic<uint64_t> generation{0};

std::mutex foreign_mutex;
ForeignSocket* foreign = nullptr;

void replace(int substitute, int fd) noexcept {
  if (substitute < 0 || ::dup3(substitute, fd, O_CLOEXEC) < 0) ::close(fd);
}

// Runs in the child before fork() returns: only what is safe in a signal handler.
void in_child() noexcept {
  generation.fetch_add(1);
  // Nothing can be read from it or written to it, and it is there in every container.
  const int substitute = ::open("/", O_PATH | O_CLOEXEC);
  for (size_t word = 0; word < used_words.load(); ++word) {
    const uint64_t bits = marked[word].exchange(0);
    for (size_t bit = 0; bit < kBits; ++bit) {
      if ((bits >> bit & 1u) != 0) replace(substitute, static_cast<int>(word * kBits + bit));
    }
  }
  ForeignSocket::replace_all(substitute);
  if (substitute >= 0) ::close(substitute);
  foreign_mutex.unlock();
}

void register_handlers() noexcept {
  static const bool registered = [] {
    ::pthread_atfork([] { foreign_mutex.lock(); }, [] { foreign_mutex.unlock(); }, &in_child);
    return true;
  }();
  (void)registered;
}

}  // namespace

void ForeignSocket::replace_all(int substitute) noexcept {
  for (const ForeignSocket* one = foreign; one != nullptr; one = one->next_) {
    struct stat now = {};
    if (::fstat(one->fd_, &now) == 0 && now.st_dev == one->device_ && now.st_ino == one->inode_) {
      replace(substitute, one->fd_);
    }
  }
}

OwnProcess::OwnProcess() noexcept : pid_(::getpid()) {
  register_handlers();
  generation_ = generation.load();
}

bool OwnProcess::is_this() const noexcept {
  return generation_ == generation.load(std::memory_order_relaxed);
}

void close_in_children(int fd) noexcept {
  if (fd < 0 || static_cast<size_t>(fd) >= kMost) return;
  register_handlers();
  const size_t word = static_cast<size_t>(fd) / kBits;
  marked[word].fetch_or(uint64_t{1} << (static_cast<size_t>(fd) % kBits));
  size_t before = used_words.load();
  while (before <= word && !used_words.compare_exchange_weak(before, word + 1)) {
  }
}

void forget_descriptor(int fd) noexcept {
  if (fd < 0 || static_cast<size_t>(fd) >= kMost) return;
  const size_t word = static_cast<size_t>(fd) / kBits;
  marked[word].fetch_and(~(uint64_t{1} << (static_cast<size_t>(fd) % kBits)));
}

ForeignSocket::ForeignSocket(int fd) : fd_(fd) {
  register_handlers();
  struct stat now = {};
  if (::fstat(fd, &now) == 0) {
    device_ = now.st_dev;
    inode_ = now.st_ino;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  const std::lock_guard<std::mutex> lock(foreign_mutex);
  next_ = foreign;
  foreign = this;
}

ForeignSocket::~ForeignSocket() {
  const std::lock_guard<std::mutex> lock(foreign_mutex);
  ForeignSocket** link = &foreign;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
}

}  // namespace deisa
