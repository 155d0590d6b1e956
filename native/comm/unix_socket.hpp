// Unix sockets between the ranks of a node: abstract names, which have no file and reach as far as
// the network namespace.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "base/file_descriptor.hpp"

namespace deisa {

// `name` is cut where it is longer than an address.
struct AbstractAddress {
  explicit AbstractAddress(const std::string& name);
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr_un storage = {};
  socklen_t length = 0;
};

// Does not block. Not open, with errno set, when the system has none.
FileDescriptor unix_socket();

// Who is at the other end.
struct Peer {
  bool same_user = false;
  int process = 0;
};
Peer unix_peer(int fd);

}  // namespace deisa
