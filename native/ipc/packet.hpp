// One message over a Unix socket of type SOCK_SEQPACKET, without ever waiting. Used by both ends.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/file_descriptor.hpp"
#include "ipc/wire.hpp"

namespace deisa {

// The name of a kind as in wire.hpp, such as "STEP"; "message of kind 99" for an unknown one.
std::string kind_name(wire::Kind kind);

// `text` cut at a UTF-8 boundary so that it fits into one message.
std::string_view clip_text(std::string_view text) noexcept;

// A Unix socket address; throws Error(DEISA_ERROR_ARGUMENT) if the path is empty or too long.
struct UnixAddress {
  explicit UnixAddress(const std::string& path);
  alignas(8) unsigned char bytes[112] = {};
  unsigned length = 0;
};

enum class SendResult {
  kSent,
  kFull,    // the socket's buffer is full: try again when it can be written
  kGone,    // the other end is closed
  kFailed,  // errno says why
};

// Sends the pieces as one message, with a copy of `fd` unless it is negative. Raises no SIGPIPE.
SendResult send_packet(int socket, const iovec* pieces, size_t count, int fd) noexcept;

enum class ReadResult {
  kMessage,
  kNothing,    // try again when the socket can be read
  kEnd,        // the other end is closed and everything it had sent has been read
  kMalformed,  // problem() says why
};

// Reads messages one by one and checks what holds for every message: size, magic, payload length,
// at most one descriptor. Content stays valid until the next read().
class PacketReader {
 public:
  PacketReader();
  ReadResult read(int socket);

  const wire::Header& header() const noexcept { return header_; }
  std::string_view payload() const noexcept;
  bool has_fd() const noexcept { return static_cast<bool>(fd_); }
  FileDescriptor take_fd() noexcept { return std::move(fd_); }
  void drop_fd() noexcept { fd_.reset(); }
  const std::string& problem() const noexcept { return problem_; }

 private:
  ReadResult malformed(std::string problem);

  std::unique_ptr<std::byte[]> buffer_;
  wire::Header header_;
  FileDescriptor fd_;
  std::string problem_;
};

}  // namespace deisa
