// Internet addresses: resolving a host with a deadline, and finding our own address towards a host.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "base/deadline.hpp"

namespace deisa {

struct Address {
  sockaddr_storage storage = {};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  bool is_loopback() const;
  // Of this machine: a loopback address, or one of its network interfaces.
  bool is_here() const;
  bool is_link_local() const;
  // "0.0.0.0" or "::": every address of this machine.
  bool is_any() const;
  int port() const;
  void set_port(int port);
  // Numeric, without the port: "192.0.2.1" or "fd00::1".
  std::string host() const;
  // Numeric, with the port: "192.0.2.1:29400" or "[fd00::1]:29400".
  std::string text() const;
};

// Of both families.
std::vector<Address> loopback_addresses(int port);

// Every address of `host`, which is given as `what` ("master_address"), in the system's order of
// preference; never empty. Throws Error(DEISA_ERROR_ARGUMENT) that names the host when it has none,
// and Error(DEISA_ERROR_TIMEOUT) when the name service does not answer by the deadline.
std::vector<Address> resolve(const std::string& what, const std::string& host, int port,
                             const Deadline& deadline);

// Whether they are addresses of one machine, as far as that can be known: equal, or both here.
bool same_machine(const Address& one, const Address& other);

// Whether a host means this machine by its name: "localhost" in any spelling.
bool is_local_name(const std::string& host);

// A numeric address, in brackets or not, or nothing when `host` is a name.
std::optional<Address> parse_address(const std::string& host, int port);

// The address of this machine from which packets to `to` leave, with port 0. Sends nothing. Nothing
// when there is no route.
std::optional<Address> source_address(const Address& to);

// The address at which other ranks reach this one. `own` is the one that routes to the master; on
// the master's machine that can be a loopback address (Debian maps a machine's own name to
// 127.0.1.1), which other machines cannot use. `reached` is where other machines reach the
// master's, numeric, or "".
Address reachable_address(const Address& own, const std::string& reached);

// Of a socket; IPv4 addresses mapped into IPv6 come back as IPv4.
std::optional<Address> socket_address(int fd);
std::optional<Address> peer_address(int fd);

}  // namespace deisa
