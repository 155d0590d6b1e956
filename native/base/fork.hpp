// A forked child has copies of all objects and descriptors, and none of the threads. What it does
// with them must neither speak for its parent nor keep alive what the parent's death ends: in a
// child the library's objects do nothing, and its descriptors are closed at once.
//
// vfork and posix_spawn do not come here. Every descriptor is close-on-exec for them.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace deisa {

// Remembers the process in which it was made.
class OwnProcess {
 public:
  OwnProcess() noexcept;
  // False in a child that was forked since. No system call.
  bool is_this() const noexcept;
  pid_t pid() const noexcept { return pid_; }

 private:
  uint64_t generation_;
  pid_t pid_;
};

// Closes `fd` in every child that is forked before forget_descriptor(fd). Its number stays taken
// there, by a descriptor that does nothing, so that a later close cannot hit somebody else's.
void close_in_children(int fd) noexcept;
void forget_descriptor(int fd) noexcept;

// A socket that another library owns, and may close and replace at any time: closed in every
// forked child while this object lives, and in programs that are executed.
class ForeignSocket {
 public:
  explicit ForeignSocket(int fd);
  ~ForeignSocket();
  ForeignSocket(const ForeignSocket&) = delete;
  ForeignSocket& operator=(const ForeignSocket&) = delete;

  // In the child, by the handler of the fork.
  static void replace_all(int substitute) noexcept;

 private:
  // A number may be used again by then; device and inode tell whether it is still this socket.
  int fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  ForeignSocket* next_;
};

}  // namespace deisa
