// What the library prints on stderr, while it prints it.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <string>

#include "base/deadline.hpp"

namespace deisa::testing {

class CapturedStderr {
 public:
  CapturedStderr() : before_(::dup(STDERR_FILENO)) {
    if (::pipe2(ends_, O_CLOEXEC) != 0) std::abort();
    ::dup2(ends_[1], STDERR_FILENO);
  }
  ~CapturedStderr() {
    ::dup2(before_, STDERR_FILENO);
    for (const int fd : {before_, ends_[0], ends_[1]}) ::close(fd);
  }
  CapturedStderr(const CapturedStderr&) = delete;
  CapturedStderr& operator=(const CapturedStderr&) = delete;

  // The next line, once it is there; "" after 20 s without one.
  std::string line() {
    const Deadline deadline = Deadline::after(20);
    std::string text;
    char byte = 0;
    while (!deadline.expired()) {
      pollfd entry = {ends_[0], POLLIN, 0};
      if (::poll(&entry, 1, deadline.poll_timeout()) <= 0) continue;
      if (::read(ends_[0], &byte, 1) != 1 || byte == '\n') return text;
      text += byte;
    }
    return text;
  }

 private:
  int before_;
  int ends_[2] = {-1, -1};
};

}  // namespace deisa::testing
