#include "ipc/packet.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.hpp"

namespace deisa {

std::string kind_name(wire::Kind kind) {
  switch (kind) {
    case wire::Kind::kHello:
      return "HELLO";
    case wire::Kind::kDefine:
      return "DEFINE";
    case wire::Kind::kReady:
      return "READY";
    case wire::Kind::kStep:
      return "STEP";
    case wire::Kind::kProgress:
      return "PROGRESS";
    case wire::Kind::kGet:
      return "GET";
    case wire::Kind::kDelete:
      return "DELETE";
    case wire::Kind::kEnd:
      return "END";
    case wire::Kind::kBye:
      return "BYE";
    case wire::Kind::kAsk:
      return "ASK";
    case wire::Kind::kShare:
      return "SHARE";
    case wire::Kind::kWelcome:
      return "WELCOME";
    case wire::Kind::kRefused:
      return "REFUSED";
    case wire::Kind::kReceived:
      return "RECEIVED";
    case wire::Kind::kStored:
      return "STORED";
    case wire::Kind::kAnnounced:
      return "ANNOUNCED";
    case wire::Kind::kFailed:
      return "FAILED";
    case wire::Kind::kValue:
      return "VALUE";
    case wire::Kind::kDone:
      return "DONE";
    case wire::Kind::kNotice:
      return "NOTICE";
    case wire::Kind::kGate:
      return "GATE";
    case wire::Kind::kChanged:
      return "CHANGED";
  }
  return "message of kind " + std::to_string(static_cast<unsigned>(kind));
}

std::string_view clip_text(std::string_view text) noexcept {
  if (text.size() <= wire::kMaxPayload) return text;
  size_t kept = wire::kMaxPayload;
  while (kept > 0 && (static_cast<unsigned char>(text[kept]) & 0xC0u) == 0x80u) --kept;
  return text.substr(0, kept);
}

UnixAddress::UnixAddress(const std::string& path) {
  sockaddr_un address = {};
  static_assert(sizeof(address) <= sizeof(bytes));
  if (path.empty() || path.size() >= sizeof(address.sun_path) ||
      path.find('\0') != std::string::npos) {
    throw Error(DEISA_ERROR_ARGUMENT, "the socket path \"" + path + "\" has " +
                                          std::to_string(path.size()) + " bytes; expected 1 to " +
                                          std::to_string(sizeof(address.sun_path) - 1) +
                                          ", without NUL: choose a shorter directory");
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  std::memcpy(bytes, &address, sizeof(address));
  length = static_cast<unsigned>(sizeof(address));
}

SendResult send_packet(int socket, const iovec* pieces, size_t count, int fd) noexcept {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(pieces);
  message.msg_iovlen = count;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &fd, sizeof(int));
  }
  // A second try: ECONNRESET is reported once when the other end closed with messages unread.
  for (int tries = 0; tries < 2;) {
    if (::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return SendResult::kSent;
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return SendResult::kFull;
    if (errno == EPIPE || errno == ENOTCONN) return SendResult::kGone;
    if (errno != ECONNRESET) return SendResult::kFailed;
    ++tries;
  }
  return SendResult::kGone;
}

// One byte more than the largest message, so that a larger one is noticed.
PacketReader::PacketReader() : buffer_(std::make_unique<std::byte[]>(wire::kMaxMessage + 1)) {}

std::string_view PacketReader::payload() const noexcept {
  return {reinterpret_cast<const char*>(buffer_.get()) + sizeof(wire::Header), header_.payload};
}

ReadResult PacketReader::malformed(std::string problem) {
  problem_ = std::move(problem);
  header_ = wire::Header{};
  fd_.reset();
  return ReadResult::kMalformed;
}

ReadResult PacketReader::read(int socket) {
  fd_.reset();
  header_ = wire::Header{};
  iovec piece{buffer_.get(), wire::kMaxMessage + 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  ssize_t size = -1;
  for (int resets = 0;;) {
    message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size >= 0) break;
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return ReadResult::kNothing;
    // The other end closed with messages unread. What it had sent before can still be read.
    if (errno == ECONNRESET && ++resets < 3) continue;
    return ReadResult::kEnd;
  }
  // There is room for one descriptor, but alignment makes the kernel deliver up to two.
  unsigned descriptors = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + CMSG_LEN(sizeof(int)) <= part->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + at, sizeof(int));
      fd_ = FileDescriptor(fd);
      ++descriptors;
    }
  }
  if (size == 0) return ReadResult::kEnd;
  if (descriptors > 1 || (descriptors == 1 && (message.msg_flags & MSG_CTRUNC) != 0)) {
    return malformed("a message came with more than one descriptor");
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return malformed("a descriptor was lost on the way: raise the limit of open files (ulimit -n)");
  }
  const size_t bytes = static_cast<size_t>(size);
  if (bytes > wire::kMaxMessage || (message.msg_flags & MSG_TRUNC) != 0) {
    return malformed("a message is larger than " + std::to_string(wire::kMaxMessage) + " bytes");
  }
  if (bytes < sizeof(wire::Header)) {
    return malformed("a message has " + std::to_string(bytes) + " bytes; a header has " +
                     std::to_string(sizeof(wire::Header)));
  }
  std::memcpy(&header_, buffer_.get(), sizeof(header_));
  if (header_.magic != wire::kMagic) return malformed("a message does not start with the magic");
  if (header_.payload != bytes - sizeof(header_)) {
    return malformed("a message says that its payload has " + std::to_string(header_.payload) +
                     " bytes, but it has " + std::to_string(bytes - sizeof(header_)));
  }
  return ReadResult::kMessage;
}

}  // namespace deisa
