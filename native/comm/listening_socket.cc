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

// Seconds for the name service, which has answered for this name before.
constexpr double kLookUp = 5.0;
// To which Debian maps a machine's own name. Other machines see another address then.
constexpr const char* kOwnName = "127.0.1.1";

Error cannot_listen(const std::string& master_address, int port, int reason) {
  std::string message = "rank 0 cannot listen on master_port " + std::to_string(port) + " (" +
                        std::generic_category().message(reason) + "): ";
  if (reason == EADDRINUSE) {
    const std::string host = who_hosts(master_address, port);
    message += host.empty()
                   ? "the port is in use by another program, or by a rank 0 that still runs; end "
                     "it, or give all ranks another master_port (DEISA_MASTER_PORT)"
                   : "the port is in use by another simulation, whose rank 0 is " + host +
                         "; give all ranks of this one another master_port (DEISA_MASTER_PORT), "
                         "or wait until that one has started or ended";
  } else if (reason == EACCES) {
    message += "give all ranks a master_port above 1023 (DEISA_MASTER_PORT)";
  } else if (reason == EADDRNOTAVAIL) {
    message += "this machine does not have the master_address '" + master_address +
               "'; give all ranks one of the machine of rank 0 (DEISA_MASTER_ADDRESS)";
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
    const int only = address.is_any() ? off : on;
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
  }
  if (::bind(fd.get(), address.get(), address.length) != 0) return errno;
  if (type == SOCK_STREAM && ::listen(fd.get(), SOMAXCONN) != 0) return errno;
  *out = std::move(fd);
  return 0;
}

}  // namespace

std::vector<Address> own_addresses(const std::string& master_address, int port) {
  if (is_local_name(master_address)) return loopback_addresses(port);
  const auto numeric = parse_address(master_address, port);
  if (numeric && numeric->is_loopback() && numeric->host() != kOwnName) return {*numeric};
  std::vector<Address> own;
  try {
    own = resolve("master_address", master_address, port, Deadline::after(kLookUp));
  } catch (const Error&) {
    return {};
  }
  const auto of_no_use = [](const Address& one) { return one.is_loopback() || !one.is_here(); };
  own.erase(std::remove_if(own.begin(), own.end(), of_no_use), own.end());
  return own;
}

std::vector<FileDescriptor> bind_for_ranks(const std::string& master_address, int port, int type) {
  std::vector<Address> choices = own_addresses(master_address, port);
  const bool given = !choices.empty();
  if (!given) {
    for (const char* host : {"::", "0.0.0.0"}) {
      if (const auto address = parse_address(host, port)) choices.push_back(*address);
    }
  }
  std::vector<FileDescriptor> bound;
  int reason = EADDRNOTAVAIL;
  for (Address& address : choices) {
    address.set_port(port);
    FileDescriptor fd;
    const int failed = try_bind(address, type, &fd);
    if (failed == 0) {
      bound.push_back(std::move(fd));
      if (port == 0) port = socket_address(bound.back().get())->port();
      if (!given) break;  // "::" is every address of both families
      continue;
    }
    reason = failed;
    // A machine without one of the families has the other.
    if (reason == EADDRINUSE || reason == EACCES) throw cannot_listen(master_address, port, reason);
  }
  if (bound.empty()) throw cannot_listen(master_address, port, reason);
  return bound;
}

void allow_files(size_t needed, const std::string& what) {
  const size_t limit = raise_file_limit(needed);
  if (limit >= needed) return;
  throw Error(DEISA_ERROR_RESOURCE, "too few open files are allowed for " + what +
                                        ": the hard limit is " + std::to_string(limit) +
                                        ", expected more than " + std::to_string(needed) + "; " +
                                        kRaiseFiles);
}

size_t raise_file_limit(size_t wanted) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  // Some for what else the process has open.
  const rlim_t raised = std::min<rlim_t>(wanted + 256, limit.rlim_max);
  if (limit.rlim_cur < raised) {
    limit.rlim_cur = raised;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  return limit.rlim_cur;
}

}  // namespace deisa
