// deisa_gloo_open: rendezvous through the store, then a star on each node and a mesh between them.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/number.hpp"
#include "base/shortage.hpp"
#include "comm/c_table.hpp"
#include "comm/gloo/gloo_communicator.hpp"
#include "comm/listening_socket.hpp"
#include "comm/name_digest.hpp"
#include "comm/relay.hpp"
#include "comm/secret_proof.hpp"
#include "comm/store_server.hpp"
#include "deisa/deisa_gloo.h"

namespace deisa {
namespace {

std::string secret() {
  const char* given = std::getenv("DEISA_SECRET");
  return given != nullptr ? given : "";
}

void validate(int rank, int size, const char* master_address, int port, double timeout) {
  std::string problems;
  const auto problem = [&](const std::string& text) {
    problems += (problems.empty() ? "" : "; ") + text;
  };
  if (size < 1 || size > store::kMaxRanks) {
    problem("size is " + std::to_string(size) + ", expected 1 ... " +
            std::to_string(store::kMaxRanks));
  } else if (rank < 0 || rank >= size) {
    problem("rank is " + std::to_string(rank) + ", expected 0 ... " + std::to_string(size - 1));
  }
  if (master_address == nullptr || *master_address == '\0') {
    problem("master_address is empty, expected the name or address of the machine of rank 0");
  }
  if (port < 1 || port > 65535) {
    problem("master_port is " + std::to_string(port) + ", expected 1 ... 65535");
  }
  if (!(timeout > 0) || !std::isfinite(timeout)) {
    problem("timeout is " + number_text(timeout) + ", expected seconds above 0");
  }
  if (secret().size() > store::kMaxSecret) {
    problem("DEISA_SECRET has " + std::to_string(secret().size()) + " bytes, expected at most " +
            std::to_string(store::kMaxSecret));
  }
  if (!problems.empty()) throw Error(DEISA_ERROR_ARGUMENT, "deisa_gloo_open: " + problems);
}

// Runs a step of the rendezvous; a failure of one rank ends it for all.
template <typename Step>
auto step(StoreClient& client, int rank, int size, const Step& body) {
  try {
    return body();
  } catch (const std::exception& any) {
    const Error error = as_error(any);
    client.give_up(error.what());
    if (error.rank() >= 0) throw;
    throw Error(error.status(), "rank " + std::to_string(rank) + " of " + std::to_string(size) +
                                    ": " + error.what());
  }
}

std::unique_ptr<LocalStar> connect_star(int rank, const NodeMap& nodes, StoreClient& client,
                                        const Deadline& deadline) {
  const auto& ranks = nodes.ranks[static_cast<size_t>(nodes.node_of[static_cast<size_t>(rank)])];
  const std::string key = "star/" + std::to_string(ranks.front());
  const int index = nodes.index_of(rank);
  if (index > 0) {
    return std::make_unique<LocalStar>(ranks, index, client.get(key, deadline), deadline);
  }
  allow_files(ranks.size(), "the ranks of this node");
  auto star = std::make_unique<LocalStar>(ranks);
  if (ranks.size() > 1) client.set(key, star->address(), deadline);
  star->accept(deadline);
  return star;
}

std::unique_ptr<MeshExchange> connect_mesh(int rank, const NodeMap& nodes, StoreClient& client,
                                           const Address& local, const Deadline& deadline) {
  const int count = static_cast<int>(nodes.ranks.size());
  if (count == 1 || nodes.index_of(rank) != 0) return nullptr;
  const int place = nodes.node_of[static_cast<size_t>(rank)];
  allow_files(static_cast<size_t>(count), "the leaders of all nodes");
  auto mesh = std::make_unique<Mesh>(place, count, local, secret(), deadline);
  mesh->connect(client.exchange(place, count, mesh->addresses(), deadline), deadline);
  return std::make_unique<MeshExchange>(std::move(mesh), nodes.leaders());
}

std::unique_ptr<GlooCommunicator> open(int rank, int size, const std::string& master_address,
                                       int master_port, double timeout) {
  const Deadline deadline = Deadline::after(timeout);
  if (size == 1) {
    return std::make_unique<GlooCommunicator>(
        rank, NodeMap::from_keys({""}), std::make_unique<LocalStar>(std::vector<int>{0}), nullptr);
  }
  StoreClient::Options options;
  options.rank = rank;
  options.size = size;
  options.master_address = master_address;
  options.master_port = master_port;
  options.secret = secret();
  options.node = name_digest(local_node_key());
  // Destroyed after the client: the last answers are read before it ends.
  std::optional<StoreServer> server;
  if (rank == 0) {
    // A name that is wrong must not wait for the time-out.
    resolve("master_address", master_address, master_port, deadline);
    StoreServer::Options hosting;
    hosting.size = size;
    hosting.master_address = master_address;
    hosting.port = master_port;
    hosting.secret = secret();
    server.emplace(hosting, deadline);
    options.connect_to = server->local_host();
  }
  const Participation part = take_part(options, deadline);
  StoreClient& client = *part.client;
  const std::string host = client.rendezvous(deadline);
  const Address local = reachable_address(client.local_address(), host);
  auto communicator = step(client, rank, size, [&] {
    const NodeMap& nodes = client.nodes();
    auto star = connect_star(rank, nodes, client, deadline);
    auto mesh = connect_mesh(rank, nodes, client, local, deadline);
    return std::make_unique<GlooCommunicator>(rank, nodes, std::move(star), std::move(mesh));
  });
  // Nobody needs the store any more once all have their connections.
  communicator->barrier(deadline);
  return communicator;
}

}  // namespace
}  // namespace deisa

extern "C" DEISA_EXPORT deisa_status deisa_gloo_open(int32_t rank, int32_t size,
                                                     const char* master_address,
                                                     int32_t master_port, double timeout,
                                                     deisa_communicator* out, deisa_error* error) {
  return deisa::guarded(error, rank, [&] {
    if (out == nullptr) {
      throw deisa::Error(DEISA_ERROR_ARGUMENT, "deisa_gloo_open: `out` is NULL");
    }
    *out = {};
    deisa::validate(rank, size, master_address, master_port, timeout);
    // So that what is missing is said here, and not in the middle of the rendezvous.
    if (!deisa::secret().empty()) deisa::hmac_sha256(deisa::secret(), "");
    *out = deisa::make_table(deisa::open(rank, size, master_address, master_port, timeout));
  });
}
