#include "comm/unix_socket.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace deisa {

AbstractAddress::AbstractAddress(const std::string& name) {
  storage.sun_family = AF_UNIX;
  const size_t bytes = std::min(name.size(), sizeof(storage.sun_path) - 1);
  std::memcpy(storage.sun_path + 1, name.data(), bytes);
  length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + bytes);
}

FileDescriptor unix_socket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

Peer unix_peer(int fd) {
  ucred credentials = {};
  socklen_t length = sizeof(credentials);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return {};
  return {credentials.uid == ::geteuid(), credentials.pid};
}

}  // namespace deisa
