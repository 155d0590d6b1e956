// A full mesh of Gloo connections between the ranks of one group. The group need not be the whole
// world: nothing here knows how its members found each other.
//
// Gloo listens on a port of its own for each peer until that peer connects, and takes whoever
// connects first. So a mesh is made only once every member is known to be there, and its ports are
// open for the moment of the exchange.
#pragma once

#include <gloo/transport/context.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/deadline.hpp"
#include "base/fork.hpp"

namespace deisa {

class Mesh {
 public:
  // Listens at `local`, the address of this machine that the others reach. `deadline` is that of
  // connect(). With a secret, who connects must show that it has it before anything else is said.
  Mesh(int rank, int size, const Address& local, const std::string& secret,
       const Deadline& deadline);

  // What the others need to connect to this rank: equal parts, one for each rank.
  const std::string& addresses() const { return addresses_; }

  // By rank: the part of its addresses() that is meant for this rank.
  void connect(const std::vector<std::string>& addresses, const Deadline& deadline);

  int rank() const { return rank_; }
  int size() const { return size_; }
  std::unique_ptr<gloo::transport::UnboundBuffer> buffer(void* data, size_t bytes) {
    return context_->createUnboundBuffer(data, bytes);
  }

 private:
  // `nonces` are those of the members, by rank.
  void prove(const std::vector<std::string>& nonces, const Deadline& deadline);

  const int rank_;
  const int size_;
  const std::string secret_;
  const std::string nonce_;  // "" without a secret
  std::string addresses_;
  // Holds the device, and closes the connections.
  std::shared_ptr<gloo::transport::Context> context_;
  std::vector<std::unique_ptr<ForeignSocket>> sockets_;
};

// What is left of `deadline`, as Gloo wants it.
std::chrono::milliseconds gloo_timeout(const Deadline& deadline);
// The message of a Gloo exception, without the place in Gloo's sources.
std::string gloo_message(const std::exception& exception);

}  // namespace deisa
