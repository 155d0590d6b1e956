#include "comm/gloo/mesh.hpp"

#include <gloo/transport/tcp/address.h>
#include <gloo/transport/tcp/device.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "base/signals.hpp"

namespace deisa {
namespace {

// Gloo waits this many times a pair's time-out for its connection.
constexpr int kConnectFactor = 5;

std::shared_ptr<gloo::transport::Context> make_context(int rank, int size, const Address& local) {
  gloo::transport::tcp::attr attributes;
  attributes.hostname = local.host();
  attributes.ai_family = local.family();
  // Gloo's thread gets none of the simulation's signals, nor SIGPIPE.
  const AllSignalsBlocked blocked;
  return gloo::transport::tcp::CreateDevice(attributes)->createContext(rank, size);
}

// Of one of Gloo's addresses, "host:port".
std::string address_text(const std::vector<char>& bytes) {
  Address address;
  address.storage = gloo::transport::tcp::Address(bytes).getSockaddr();
  address.length = address.family() == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  return address.text();
}

// The sockets of this process that have one of these addresses at either end.
std::vector<int> sockets_between(const std::set<std::string>& addresses) {
  std::vector<int> found;
  std::error_code failed;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", failed), end;
       !failed && entry != end; entry.increment(failed)) {
    const int fd = std::atoi(entry->path().filename().c_str());
    const auto here = socket_address(fd);
    const auto there = peer_address(fd);
    if (here && there && (addresses.count(here->text()) + addresses.count(there->text()) > 0)) {
      found.push_back(fd);
    }
  }
  return found;
}

}  // namespace

std::chrono::milliseconds gloo_timeout(const Deadline& deadline) {
  return std::chrono::milliseconds(deadline.poll_timeout());
}

std::string gloo_message(const std::exception& exception) {
  std::string message = exception.what();
  const size_t end = message.find("] ");
  if (message.rfind('[', 0) == 0 && end != std::string::npos && message.rfind(".cc:", end) < end) {
    message.erase(0, end + 2);
  }
  return message;
}

Mesh::Mesh(int rank, int size, const Address& local, const Deadline& deadline)
    : rank_(rank), size_(size) {
  if (size_ == 1) return;
  try {
    context_ = make_context(rank, size, local);
    // Zero would be no time-out.
    context_->setTimeout(
        std::max(gloo_timeout(deadline) / kConnectFactor, std::chrono::milliseconds(1)));
    std::vector<std::vector<char>> parts(static_cast<size_t>(size));
    for (int peer = 0; peer < size; ++peer) {
      if (peer == rank) continue;
      auto& part = parts[static_cast<size_t>(peer)];
      part = context_->createPair(peer)->address().bytes();
      address_bytes_ = std::max(address_bytes_, part.size());
    }
    for (auto& part : parts) {
      part.resize(address_bytes_);
      addresses_.append(part.data(), part.size());
    }
  } catch (const std::exception& exception) {
    throw Error(DEISA_ERROR_RESOURCE, "Gloo cannot listen at " + local.host() + " for " +
                                          std::to_string(size - 1) +
                                          " ranks: " + gloo_message(exception));
  }
}

void Mesh::connect(const std::function<std::string(int peer)>& addresses_of,
                   const Deadline& deadline) {
  std::set<std::string> listening;  // at which each connection was made, on either side
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    const std::string address = addresses_of(peer);
    if (address.size() != address_bytes_) {
      throw Error(
          DEISA_ERROR_COMMUNICATOR,
          "rank " + std::to_string(peer) +
              " gave an address of another length: use the same version of Gloo everywhere");
    }
    try {
      const NoSigpipe no_sigpipe;
      const std::vector<char> bytes(address.begin(), address.end());
      auto& pair = *context_->getPair(peer);
      pair.connect(bytes);
      listening.insert(address_text(bytes));
      listening.insert(address_text(pair.address().bytes()));
    } catch (const std::exception& exception) {
      throw Error(deadline.expired() ? DEISA_ERROR_TIMEOUT : DEISA_ERROR_COMMUNICATOR,
                  "no connection to rank " + std::to_string(peer) + " (" + gloo_message(exception) +
                      "): it crashed while the ranks were connecting, or a firewall closes the "
                      "ports between the machines");
    }
  }
  // A child of this process must not hide its death from the peers. Gloo does not show its sockets.
  for (const int fd : sockets_between(listening)) {
    sockets_.push_back(std::make_unique<ForeignSocket>(fd));
  }
}

}  // namespace deisa
