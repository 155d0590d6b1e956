// deisa_gloo_open: rendezvous through the store, then a mesh.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "comm/c_table.hpp"
#include "comm/gloo/gloo_communicator.hpp"
#include "comm/listening_socket.hpp"
#include "comm/store_client.hpp"
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
    problem("timeout is " + std::to_string(timeout) + ", expected seconds above 0");
  }
  if (secret().size() > store::kMaxSecret) {
    problem("DEISA_SECRET has " + std::to_string(secret().size()) + " bytes, expected at most " +
            std::to_string(store::kMaxSecret));
  }
  if (!problems.empty()) throw Error(DEISA_ERROR_ARGUMENT, "deisa_gloo_open: " + problems);
}

// Where this rank is among those that are connected by Gloo, and how many they are. Every rank is
// now; with one rank per node in the mesh, this is what changes, and the rest of a node goes
// through its member.
struct Group {
  int rank;
  int size;
};

std::unique_ptr<Mesh> connect_mesh(const Group& group, StoreClient& client, const Address& local,
                                   const Deadline& deadline) {
  try {
    allow_files(static_cast<size_t>(group.size));
    auto mesh = std::make_unique<Mesh>(group.rank, group.size, local, deadline);
    const auto key = [](int rank) { return "mesh/" + std::to_string(rank); };
    const size_t bytes = mesh->address_bytes();
    client.set(key(group.rank), mesh->addresses(), deadline);
    mesh->connect(
        [&](int peer) {
          return client.get(key(peer), deadline, static_cast<size_t>(group.rank) * bytes, bytes);
        },
        deadline);
    return mesh;
  } catch (const Error& error) {
    client.give_up(error.what());
    if (error.rank() >= 0) throw;
    throw Error(error.status(), "rank " + std::to_string(group.rank) + " of " +
                                    std::to_string(group.size) + ": " + error.what());
  }
}

std::unique_ptr<GlooCommunicator> open(int rank, int size, const std::string& master_address,
                                       int master_port, double timeout) {
  const Deadline deadline = Deadline::after(timeout);
  if (size == 1) {
    const Address nowhere;
    return std::make_unique<GlooCommunicator>(
        std::make_unique<Mesh>(rank, size, nowhere, deadline));
  }
  StoreClient::Options options;
  options.rank = rank;
  options.size = size;
  options.master_address = master_address;
  options.master_port = master_port;
  options.secret = secret();
  // Destroyed after the client: the last answers are read before it ends.
  std::optional<StoreServer> server;
  if (rank == 0) {
    // A name that is wrong must not wait for the time-out.
    resolve(master_address, master_port, deadline);
    StoreServer::Options hosting;
    hosting.size = size;
    hosting.master_address = master_address;
    hosting.port = master_port;
    hosting.secret = secret();
    server.emplace(hosting, deadline);
    options.connect_to = server->local_host();
  }
  StoreClient client(options, deadline);
  const Address local = reachable_address(client.local_address(), client.meet(deadline));
  auto communicator =
      std::make_unique<GlooCommunicator>(connect_mesh({rank, size}, client, local, deadline));
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
    *out = deisa::make_table(deisa::open(rank, size, master_address, master_port, timeout));
  });
}
