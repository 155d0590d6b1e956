// Owns a file descriptor, which no forked child keeps open.
#pragma once

#include <unistd.h>

#include <utility>

#include "base/fork.hpp"

namespace deisa {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) { close_in_children(fd_); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept {
    forget_descriptor(fd_);
    return std::exchange(fd_, -1);
  }
  void reset() noexcept {
    const int fd = release();
    if (fd >= 0) ::close(fd);
  }

 private:
  int fd_ = -1;
};

}  // namespace deisa
