// A client's side of a connection on which frames of the rendezvous go to and fro. Used by one
// thread at a time, and waits with a deadline.
#pragma once

#include <string>

#include "base/deadline.hpp"
#include "base/file_descriptor.hpp"
#include "comm/store_protocol.hpp"

namespace deisa {

class FrameSocket {
 public:
  // The wait ended.
  struct Late {};
  // The connection ended, or cannot be made.
  struct Lost {
    std::string reason;
  };
  struct Frame {
    store::Type type;
    std::string payload;
  };

  FrameSocket() = default;
  // One that does not block.
  explicit FrameSocket(FileDescriptor fd) : fd_(std::move(fd)) {}

  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  FileDescriptor release() { return std::move(fd_); }

  // Each throws Late or Lost; receive() also store::Malformed.
  void send(const std::string& frame, const Deadline& deadline);
  Frame receive(const Deadline& deadline);
  void wait_for(short events, const Deadline& deadline);

 private:
  void receive_bytes(char* to, size_t bytes, const Deadline& deadline);
  FileDescriptor fd_;
};

// What an errno means.
std::string describe_errno(int error);

}  // namespace deisa
