#include "comm/listening_socket.hpp"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/address.hpp"
#include "base/error.hpp"
#include "comm/store_host.hpp"

namespace deisa {
namespace {

Error cannot_listen(int port, int reason) {
  std::string message = "rank 0 cannot listen on master_port " + std::to_string(port) + " (" +
                        std::generic_category().message(reason) + "): ";
  if (reason == EADDRINUSE) {
    const std::string host = who_hosts(port);
    message += host.empty()
                   ? "the port is in use by another program, or by a rank 0 that still runs; end "
                     "it, or give all ranks another master_port (DEISA_MASTER_PORT)"
                   : "the port is in use by another simulation, whose rank 0 is " + host +
                         "; give all ranks of this one another master_port (DEISA_MASTER_PORT), "
                         "or wait until that one has started or ended";
  } else if (reason == EACCES) {
    message += "give all ranks a master_port above 1023 (DEISA_MASTER_PORT)";
  } else {
    message += "give all ranks another master_port (DEISA_MASTER_PORT)";
  }
  return Error(DEISA_ERROR_COMMUNICATOR, message);
}

// An errno, or 0 with `*out` bound.
int try_bind(const Address& address, int type, FileDescriptor* out) {
  FileDescriptor fd(::socket(address.family(), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno;
  const int on = 1;
  const int off = 0;
  // Ports of ended connections may be used again; a port that is listened on may not.
  if (type == SOCK_STREAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (address.family() == AF_INET6) {
    const int only = address.is_loopback() ? on : off;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
  }
  if (::bind(fd.get(), address.get(), address.length) != 0) return errno;
  if (type == SOCK_STREAM && ::listen(fd.get(), SOMAXCONN) != 0) return errno;
  *out = std::move(fd);
  return 0;
}

}  // namespace

std::vector<FileDescriptor> bind_for_ranks(const std::string& master_address, int port, int type) {
  const bool local = is_local_name(master_address);
  std::vector<std::string> choices = {"::", "0.0.0.0"};
  if (local) choices = {"127.0.0.1", "::1"};
  if (const auto numeric = parse_address(master_address, port)) {
    if (numeric->host() == "127.0.0.1" || numeric->host() == "::1") choices = {numeric->host()};
  }
  std::vector<FileDescriptor> bound;
  int reason = EADDRNOTAVAIL;
  for (const std::string& choice : choices) {
    const auto address = parse_address(choice, port);
    if (!address) continue;
    FileDescriptor fd;
    const int failed = try_bind(*address, type, &fd);
    if (failed == 0) {
      bound.push_back(std::move(fd));
      if (port == 0) port = socket_address(bound.back().get())->port();
      if (!local) break;  // "::" is every address of both families
      continue;
    }
    reason = failed;
    // A machine without one of the families has the other.
    if (reason == EADDRINUSE || reason == EACCES) throw cannot_listen(port, reason);
  }
  if (bound.empty()) throw cannot_listen(port, reason);
  return bound;
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
                    "or give the bridges an MPI communicator");
  }
  // Some for what else the process has open.
  const rlim_t wanted = std::min<rlim_t>(needed + 256, limit.rlim_max);
  if (limit.rlim_cur >= wanted) return;
  limit.rlim_cur = wanted;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace deisa
