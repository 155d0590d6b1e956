// What the fuzz programs of this folder share: messages with descriptors, put into a socket.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>

#include <array>

#include "base/testing/fuzz.hpp"
#include "ipc/memfd.hpp"
#include "ipc/packet.hpp"

namespace deisa::fuzz {

inline constexpr size_t kMemory = 1 << 18;

inline FileDescriptor memory(size_t bytes, bool sealed, bool read_only = false) {
  FileDescriptor fd = make_memfd("fuzz", bytes);
  if (sealed) seal_memfd(fd.get(), read_only);
  return fd;
}

// A descriptor to send along; -1: none.
inline int descriptor(uint8_t which) {
  static const std::array<FileDescriptor, 5> all = {
      memory(kMemory, true), memory(0, true), memory(100, true, true), memory(kMemory, false),
      FileDescriptor(::open("/dev/null", O_RDWR | O_CLOEXEC))};
  return which < all.size() ? all[which].get() : -1;
}

struct Ends {
  Ends() {
    int fds[2] = {-1, -1};
    check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0,
          "there are sockets");
    ours = FileDescriptor(fds[0]);
    theirs = FileDescriptor(fds[1]);
  }
  FileDescriptor ours;
  FileDescriptor theirs;
};

// A message of the input: a byte, which descriptor; length; header and payload. The header's magic and length are made
// right, unless the byte's highest bit is set.
struct Message {
  explicit Message(Input& input) : which(input.byte()), bytes(input.part()) {
    if ((which & 0x80) != 0) return;
    wire::Header header;
    if (bytes.size() < sizeof(header)) bytes.resize(sizeof(header));
    std::memcpy(&header, bytes.data(), sizeof(header));
    header.magic = wire::kMagic;
    header.payload = static_cast<uint32_t>(bytes.size() - sizeof(header));
    std::memcpy(bytes.data(), &header, sizeof(header));
  }
  // Whether it was sent.
  bool send(int socket) const {
    const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    return send_packet(socket, &piece, 1, descriptor(which & 0x7f)) == SendResult::kSent;
  }
  uint8_t which;
  std::string bytes;
};

}  // namespace deisa::fuzz
