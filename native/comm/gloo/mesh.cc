#include "comm/gloo/mesh.hpp"

#include <gloo/transport/tcp/address.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "base/signals.hpp"
#include "comm/secret_proof.hpp"

namespace deisa {
namespace {

// Gloo waits this many times a pair's time-out for its connection.
constexpr int kConnectFactor = 5;
// Of the first message of each connection; no other has it.
constexpr uint64_t kProofSlot = ~uint64_t{1};

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

// Parts of `bytes` bytes without those that are zero in all parts: most are, and rank 0's store
// passes them on for all pairs of nodes. Each begins with `nonce`, and the bits of those that are left.
std::string pack(const std::string& nonce, std::vector<std::vector<char>>& parts, size_t bytes) {
  std::string mask((bytes + 7) / 8, '\0');
  for (auto& part : parts) {
    part.resize(bytes);
    for (size_t i = 0; i < bytes; ++i) {
      if (part[i] != 0) mask[i / 8] = static_cast<char>(mask[i / 8] | 1 << (i % 8));
    }
  }
  std::string packed;
  for (const auto& part : parts) {
    packed += nonce;
    packed += static_cast<char>(bytes);
    packed += mask;
    for (size_t i = 0; i < bytes; ++i) {
      if ((mask[i / 8] >> (i % 8) & 1) != 0) packed += part[i];
    }
  }
  return packed;
}

// One part; empty when it is not as pack() makes it.
std::vector<char> unpack(const std::string& part) {
  const size_t bytes = part.empty() ? 0 : static_cast<unsigned char>(part[0]);
  size_t next = 1 + (bytes + 7) / 8;
  std::vector<char> unpacked(bytes, '\0');
  for (size_t i = 0; i < bytes && next <= part.size(); ++i) {
    if ((part[1 + i / 8] >> (i % 8) & 1) == 0) continue;
    if (next == part.size()) return {};
    unpacked[i] = part[next++];
  }
  return next == part.size() ? unpacked : std::vector<char>();
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

Mesh::Mesh(int rank, int size, const Address& local, const std::string& secret,
           const Deadline& deadline)
    : rank_(rank), size_(size), secret_(secret), nonce_(secret.empty() ? "" : random_nonce()) {
  if (size_ == 1) return;
  try {
    context_ = make_context(rank, size, local);
    // Zero would be no time-out.
    context_->setTimeout(
        std::max(gloo_timeout(deadline) / kConnectFactor, std::chrono::milliseconds(1)));
    std::vector<std::vector<char>> parts(static_cast<size_t>(size));
    size_t bytes = 0;
    for (int peer = 0; peer < size; ++peer) {
      if (peer == rank) continue;
      auto& part = parts[static_cast<size_t>(peer)];
      part = context_->createPair(peer)->address().bytes();
      bytes = std::max(bytes, part.size());
    }
    addresses_ = pack(nonce_, parts, bytes);
  } catch (const std::exception& exception) {
    throw Error(DEISA_ERROR_RESOURCE, "Gloo cannot listen at " + local.host() + " for " +
                                          std::to_string(size - 1) +
                                          " ranks: " + gloo_message(exception));
  }
}

void Mesh::connect(const std::vector<std::string>& addresses, const Deadline& deadline) {
  std::vector<std::string> nonces(addresses.size());
  std::set<std::string> listening;  // at which each connection was made, on either side
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    const std::string& part = addresses[static_cast<size_t>(peer)];
    const size_t nonce = std::min(nonce_.size(), part.size());
    nonces[static_cast<size_t>(peer)] = part.substr(0, nonce);
    const auto bytes = unpack(part.substr(nonce));
    if (bytes.size() != context_->getPair(peer)->address().bytes().size()) {
      throw Error(
          DEISA_ERROR_COMMUNICATOR,
          "rank " + std::to_string(peer) +
              " gave an address of another length: use the same version of Gloo everywhere");
    }
    try {
      const NoSigpipe no_sigpipe;
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
  if (!secret_.empty()) prove(nonces, deadline);
  // A child of this process must not hide its death from the peers. Gloo does not show its sockets.
  for (const int fd : sockets_between(listening)) {
    sockets_.push_back(std::make_unique<ForeignSocket>(fd));
  }
}

void Mesh::prove(const std::vector<std::string>& nonces, const Deadline& deadline) {
  const auto proof = [&](int from, const std::string& by, int to, const std::string& for_whom) {
    return hmac_sha256(secret_, "deisa mesh " + std::to_string(from) + " " + std::to_string(to) +
                                    " " + by + for_whom);
  };
  struct Exchange {
    std::string given, expected;
    std::string got = std::string(kProofBytes, '\0');
    std::unique_ptr<gloo::transport::UnboundBuffer> sends, receives;
  };
  std::vector<Exchange> all(static_cast<size_t>(size_));
  for (const bool begin : {true, false}) {
    for (int peer = 0; peer < size_; ++peer) {
      if (peer == rank_) continue;
      Exchange& one = all[static_cast<size_t>(peer)];
      const std::string& nonce = nonces[static_cast<size_t>(peer)];
      try {
        if (begin) {
          one.given = proof(rank_, nonce_, peer, nonce);
          one.expected = proof(peer, nonce, rank_, nonce_);
          one.sends = buffer(one.given.data(), one.given.size());
          one.sends->send(peer, kProofSlot);
          one.receives = buffer(one.got.data(), one.got.size());
          one.receives->recv(peer, kProofSlot);
          continue;
        }
        // Zero would be no time-out.
        const auto least = std::chrono::milliseconds(1);
        one.sends->waitSend(std::max(gloo_timeout(deadline), least));
        one.receives->waitRecv(std::max(gloo_timeout(deadline), least));
      } catch (const Error&) {
        throw;
      } catch (const std::exception& exception) {
        throw Error(deadline.expired() ? DEISA_ERROR_TIMEOUT : DEISA_ERROR_COMMUNICATOR,
                    "who connected as rank " + std::to_string(peer) +
                        " does not show that it has DEISA_SECRET (" + gloo_message(exception) +
                        "): it crashed, or is a stranger");
      }
      if (!equal_proofs(one.got, one.expected)) {
        throw Error(DEISA_ERROR_COMMUNICATOR, "who connected as rank " + std::to_string(peer) +
                                                  " does not have DEISA_SECRET: it is a stranger");
      }
    }
  }
}

}  // namespace deisa
