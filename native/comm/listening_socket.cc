#include "comm/listening_socket.hpp"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.hpp"
#include "comm/address.hpp"

namespace deisa {
namespace {

Error cannot_listen(int port, int reason) {
  std::string message = "rank 0 cannot listen on master_port " + std::to_string(port) + " (" +
                        std::generic_category().message(reason) + "): ";
  if (reason == EADDRINUSE) {
    message +=
        "the port is in use, by another simulation or a rank 0 that still runs; end it, or give "
        "all "
        "ranks another master_port (DEISA_MASTER_PORT)";
  } else if (reason == EACCES) {
    message += "give all ranks a master_port above 1023 (DEISA_MASTER_PORT)";
  } else {
    message += "give all ranks another master_port (DEISA_MASTER_PORT)";
  }
  return Error(DEISA_ERROR_COMMUNICATOR, message);
}

// An errno, or 0 with `*out` listening.
int try_listen(const Address& address, FileDescriptor* out) {
  FileDescriptor fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  const int on = 1;
  const int off = 0;
  // Ports of ended connections may be used again; a port that is listened on may not.
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (address.family() == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (::bind(fd.get(), address.get(), address.length) != 0) return errno;
  if (::listen(fd.get(), SOMAXCONN) != 0) return errno;
  *out = std::move(fd);
  return 0;
}

}  // namespace

FileDescriptor listen_for_ranks(const std::string& master_address, int port) {
  const bool local = master_address == "localhost" || master_address == "127.0.0.1";
  const char* choices[] = {"::", "0.0.0.0"};
  if (local) choices[0] = choices[1] = "127.0.0.1";
  if (master_address == "::1") choices[0] = choices[1] = "::1";
  FileDescriptor fd;
  int reason = EADDRNOTAVAIL;
  for (const char* choice : choices) {
    const auto address = parse_address(choice, port);
    if (!address) continue;
    reason = try_listen(*address, &fd);
    // A machine without IPv6 listens on IPv4 only.
    if (reason == 0 || reason == EADDRINUSE || reason == EACCES) break;
  }
  if (!fd) throw cannot_listen(port, reason);
  return fd;
}

void allow_files(size_t needed, const std::string& what) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_max < needed) {
    throw Error(DEISA_ERROR_RESOURCE,
                "too few open files are allowed for " + what + ": the hard limit is " +
                    std::to_string(limit.rlim_max) + ", expected more than " +
                    std::to_string(needed) +
                    "; raise it (ulimit -Hn, or LimitNOFILE of the service that starts the job), "
                    "or let the ranks meet through MPI");
  }
  // Some for what else the process has open.
  const rlim_t wanted = std::min<rlim_t>(needed + 256, limit.rlim_max);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace deisa
