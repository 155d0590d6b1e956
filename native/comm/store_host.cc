#include "comm/store_host.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include "base/address.hpp"
#include "base/deadline.hpp"
#include "base/file_descriptor.hpp"
#include "comm/listening_socket.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;

// Seconds, for finding out who hosts.
constexpr double kProbe = 1.0;

}  // namespace

std::optional<StoreHost> find_host(const std::string& master_address, int port) {
  std::vector<Address> places = own_addresses(master_address, port);
  // Where there is none of those, it listens at all.
  if (places.empty()) places = own_addresses("localhost", port);
  const Deadline deadline = Deadline::after(kProbe);
  for (const Address& address : places) {
    const FileDescriptor fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval patience = {static_cast<time_t>(kProbe), 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (!fd || ::connect(fd.get(), address.get(), address.length) != 0) continue;
    const std::string probe = Encoder(Type::kProbe).raw(store::kMagic).frame();
    if (::send(fd.get(), probe.data(), probe.size(), MSG_NOSIGNAL) < 0) continue;
    std::string bytes;
    char part[4096];
    for (ssize_t got = 1; got > 0 && bytes.size() <= store::kMaxFrame && !deadline.expired();) {
      got = ::recv(fd.get(), part, sizeof(part), 0);
      if (got > 0) bytes.append(part, static_cast<size_t>(got));
    }
    try {
      store::Decoder decoder(bytes);
      (void)decoder.u32();
      if (static_cast<Type>(decoder.u8()) != Type::kHost) continue;
      StoreHost host;
      host.process = decoder.i32();
      host.failed = decoder.u8() != 0;
      host.refused = std::string(decoder.text());
      host.attendance = decoder.attendance();
      return host;
    } catch (const store::Malformed&) {
    }
  }
  return std::nullopt;
}

std::string who_hosts(const std::string& master_address, int port) {
  const auto host = find_host(master_address, port);
  if (!host) return "";
  const RankRanges missing = missing_ranks(host->attendance.came, host->attendance.size);
  std::string text = "process " + std::to_string(host->process);
  if (host->failed) return text + ", which has given up";
  if (missing.empty()) return text + ", which is starting";
  return text + ", which waits for rank(s) " + to_text(missing) + " of " +
         std::to_string(host->attendance.size);
}

}  // namespace deisa
