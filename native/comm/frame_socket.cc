#include "comm/frame_socket.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

namespace deisa {

std::string describe_errno(int error) { return std::generic_category().message(error); }

void FrameSocket::send(const std::string& frame, const Deadline& deadline) {
  size_t sent = 0;
  while (sent < frame.size()) {
    const ssize_t count = ::send(fd_.get(), frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (count > 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      wait_for(POLLOUT, deadline);
    } else if (errno != EINTR) {
      // An answer that explains the end may be there.
      if (errno == EPIPE || errno == ECONNRESET) return;
      throw Lost{describe_errno(errno)};
    }
  }
}

FrameSocket::Frame FrameSocket::receive(const Deadline& deadline) {
  char length_bytes[store::kLengthBytes];
  receive_bytes(length_bytes, sizeof(length_bytes), deadline);
  const size_t length = store::frame_length(length_bytes);
  if (length == 0 || length > store::kMaxAnswer) {
    throw store::Malformed("a frame is too long");
  }
  std::string bytes(length, '\0');
  receive_bytes(bytes.data(), length, deadline);
  return {static_cast<store::Type>(bytes[0]), bytes.substr(1)};
}

void FrameSocket::receive_bytes(char* to, size_t bytes, const Deadline& deadline) {
  while (bytes > 0) {
    const ssize_t count = ::recv(fd_.get(), to, bytes, 0);
    if (count > 0) {
      to += count;
      bytes -= static_cast<size_t>(count);
    } else if (count == 0) {
      throw Lost{"it was closed"};
    } else if (errno == EAGAIN) {
      wait_for(POLLIN, deadline);
    } else if (errno != EINTR) {
      throw Lost{describe_errno(errno)};
    }
  }
}

void FrameSocket::wait_for(short events, const Deadline& deadline) {
  while (true) {
    pollfd entry = {fd_.get(), events, 0};
    const int ready = ::poll(&entry, 1, deadline.poll_timeout());
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw Lost{describe_errno(errno)};
    if (deadline.expired()) throw Late{};
  }
}

}  // namespace deisa
