// A listening Unix socket (SOCK_SEQPACKET) and its file.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/file_descriptor.hpp"

namespace deisa {

class Listener {
 public:
  // Listens at `path`, non-blocking, with mode 0600. A socket file that nobody listens at is
  // replaced; anything else there is an error. Throws Error(DEISA_ERROR_ARGUMENT, _RESOURCE or
  // _CONNECTION).
  explicit Listener(const std::string& path);
  ~Listener() { close(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int fd() const noexcept { return fd_.get(); }
  // Removes the file, if it is still this socket's, and closes.
  void close() noexcept;

 private:
  std::string path_;
  FileDescriptor fd_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace deisa
