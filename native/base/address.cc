#include "base/address.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/shortage.hpp"

namespace deisa {
namespace {

const sockaddr_in& as_v4(const Address& address) {
  return reinterpret_cast<const sockaddr_in&>(address.storage);
}
const sockaddr_in6& as_v6(const Address& address) {
  return reinterpret_cast<const sockaddr_in6&>(address.storage);
}

Address unmapped(const Address& address) {
  if (address.family() != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&as_v6(address).sin6_addr)) {
    return address;
  }
  Address plain;
  auto& v4 = reinterpret_cast<sockaddr_in&>(plain.storage);
  v4.sin_family = AF_INET;
  v4.sin_port = as_v6(address).sin6_port;
  std::memcpy(&v4.sin_addr, as_v6(address).sin6_addr.s6_addr + 12, 4);
  plain.length = sizeof(sockaddr_in);
  return plain;
}

struct Lookup {
  std::mutex mutex;
  std::condition_variable finished;
  bool done = false;
  int result = 0;
  std::vector<Address> addresses;
};

int look_up(const std::string& host, int port, int flags, std::vector<Address>* addresses) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  const int result = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (result != 0) return result;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    if (entry->ai_addrlen > sizeof(sockaddr_storage)) continue;
    Address address;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.length = entry->ai_addrlen;
    addresses->push_back(address);
  }
  ::freeaddrinfo(found);
  return addresses->empty() ? EAI_NONAME : 0;
}

}  // namespace

bool Address::is_loopback() const {
  if (family() == AF_INET) return ntohl(as_v4(*this).sin_addr.s_addr) >> 24 == 127;
  return family() == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&as_v6(*this).sin6_addr);
}

bool Address::is_here() const {
  if (is_loopback()) return true;
  // A socket can only have an address of this machine.
  const FileDescriptor fd(::socket(family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  Address any_port = *this;
  any_port.set_port(0);
  return fd && ::bind(fd.get(), any_port.get(), any_port.length) == 0;
}

bool same_machine(const Address& one, const Address& other) {
  return one.host() == other.host() || (one.is_here() && other.is_here());
}

bool Address::is_link_local() const {
  return family() == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&as_v6(*this).sin6_addr);
}

bool Address::is_any() const {
  if (family() == AF_INET) return as_v4(*this).sin_addr.s_addr == htonl(INADDR_ANY);
  return family() == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&as_v6(*this).sin6_addr);
}

int Address::port() const {
  return ntohs(family() == AF_INET6 ? as_v6(*this).sin6_port : as_v4(*this).sin_port);
}

void Address::set_port(int port) {
  const in_port_t number = htons(static_cast<uint16_t>(port));
  if (family() == AF_INET) reinterpret_cast<sockaddr_in&>(storage).sin_port = number;
  if (family() == AF_INET6) reinterpret_cast<sockaddr_in6&>(storage).sin6_port = number;
}

std::string Address::host() const {
  char text[NI_MAXHOST] = "?";
  ::getnameinfo(get(), length, text, sizeof(text), nullptr, 0, NI_NUMERICHOST);
  return text;
}

std::string Address::text() const {
  char port[NI_MAXSERV] = "?";
  ::getnameinfo(get(), length, nullptr, 0, port, sizeof(port), NI_NUMERICSERV);
  return family() == AF_INET6 ? "[" + host() + "]:" + port : host() + ":" + port;
}

bool is_local_name(const std::string& host) {
  std::string lower = host;
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (!lower.empty() && lower.back() == '.') lower.pop_back();
  return lower == "localhost" || lower == "ip6-localhost" || lower == "localhost.localdomain";
}

std::vector<Address> loopback_addresses(int port) {
  std::vector<Address> both;
  for (const char* host : {"127.0.0.1", "::1"}) {
    if (const auto address = parse_address(host, port)) both.push_back(*address);
  }
  return both;
}

std::optional<Address> parse_address(const std::string& host, int port) {
  std::vector<Address> addresses;
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (look_up(brackets ? host.substr(1, host.size() - 2) : host, port, AI_NUMERICHOST,
              &addresses) != 0)
    return std::nullopt;
  return addresses.front();
}

std::vector<Address> resolve(const std::string& what, const std::string& host, int port,
                             const Deadline& deadline) {
  if (const auto numeric = parse_address(host, port)) return {*numeric};
  if (is_local_name(host)) return loopback_addresses(port);
  // getaddrinfo has no time-out, so it runs on a thread that may outlive this call.
  auto lookup = std::make_shared<Lookup>();
  start_thread("the name service", [lookup, host, port] {
    std::vector<Address> addresses;
    const int result = look_up(host, port, 0, &addresses);
    const std::lock_guard<std::mutex> lock(lookup->mutex);
    lookup->result = result;
    lookup->addresses = std::move(addresses);
    lookup->done = true;
    lookup->finished.notify_one();
  }).detach();
  std::unique_lock<std::mutex> lock(lookup->mutex);
  if (!lookup->finished.wait_until(lock, deadline.time_point(), [&] { return lookup->done; })) {
    throw Error(DEISA_ERROR_TIMEOUT, "the name service did not answer for " + what + " \"" + host +
                                         "\" in time; check the name, or give a numeric address");
  }
  if (lookup->result != 0) {
    throw Error(DEISA_ERROR_ARGUMENT,
                what + " \"" + host + "\" cannot be resolved (" + ::gai_strerror(lookup->result) +
                    "): give a host name that this machine knows, or a numeric address");
  }
  return lookup->addresses;
}

std::optional<Address> source_address(const Address& to) {
  const FileDescriptor fd(::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  Address target = to;
  // Port 0 cannot be connected to; any other will do, as nothing is sent.
  target.set_port(9);
  if (!fd || ::connect(fd.get(), target.get(), target.length) != 0) return std::nullopt;
  auto source = socket_address(fd.get());
  if (source) source->set_port(0);
  return source;
}

Address reachable_address(const Address& own, const std::string& reached) {
  const auto master = parse_address(reached, 0);
  if (!master || (!own.is_loopback() && own.family() == master->family())) return own;
  return source_address(*master).value_or(own);
}

std::optional<Address> socket_address(int fd) {
  Address address;
  address.length = sizeof(address.storage);
  auto* raw = reinterpret_cast<sockaddr*>(&address.storage);
  if (::getsockname(fd, raw, &address.length) != 0) return std::nullopt;
  return unmapped(address);
}

std::optional<Address> peer_address(int fd) {
  Address address;
  address.length = sizeof(address.storage);
  auto* raw = reinterpret_cast<sockaddr*>(&address.storage);
  if (::getpeername(fd, raw, &address.length) != 0) return std::nullopt;
  return unmapped(address);
}

}  // namespace deisa
