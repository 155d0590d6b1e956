// Rank 0's rendezvous store alone in a process, and a process that plays the relays of all nodes:
// what the store has to do at the start of so many ranks, without the ranks. Prints one line of JSON:
// the seconds until all nodes have met, the CPU seconds of the store, its connections, its largest
// memory, and the bytes that went to and fro.
//
//   store NODES RANKS_PER_NODE block|cyclic
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "comm/listening_socket.hpp"
#include "comm/store_connection.hpp"
#include "comm/store_server.hpp"

namespace {

using deisa::Deadline;
using deisa::store::Encoder;
using deisa::store::Type;

// Of one of Gloo's addresses, as a leader passes it on.
constexpr size_t kAddress = 34;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Hosts the store until `go_on` ends; tells its port before, and what it has used after.
[[noreturn]] void host(int size, int tell, int go_on) {
  deisa::StoreServer::Options options;
  options.size = size;
  options.master_address = "127.0.0.1";
  {
    const deisa::StoreServer server(options, Deadline::after(300));
    const int port = server.port();
    if (::write(tell, &port, sizeof(port)) != sizeof(port)) std::_Exit(1);
    char byte = 0;
    while (::read(go_on, &byte, 1) > 0) {
    }
  }
  std::_Exit(0);
}

struct Node {
  deisa::FrameSocket socket;
  std::vector<int> ranks;
};

class Nodes {
 public:
  Nodes(int nodes, int per_node, bool cyclic, int port)
      : nodes_(nodes), deadline_(Deadline::after(300)) {
    options_.size = nodes * per_node;
    options_.master_address = "127.0.0.1";
    options_.master_port = port;
    all_.resize(static_cast<size_t>(nodes));
    for (int node = 0; node < nodes; ++node) {
      for (int i = 0; i < per_node; ++i) {
        all_[static_cast<size_t>(node)].ranks.push_back(cyclic ? i * nodes + node
                                                               : node * per_node + i);
      }
    }
  }

  void meet() {
    for (size_t node = 0; node < all_.size(); ++node) check_in(all_[node], std::to_string(node));
    for (Node& node : all_) expect(node, Type::kComplete);
    for (Node& node : all_) {
      const std::string key = "star/" + std::to_string(node.ranks.front());
      send(node, Encoder(Type::kSet).text(key).text(std::string(80, 'x')));
      send(node, Encoder(Type::kGet).text(key));
      expect(node, Type::kDone);
      expect(node, Type::kValue);
    }
    for (uint32_t place = 0; place < all_.size(); ++place) {
      send(all_[place], Encoder(Type::kExchange)
                            .u32(place)
                            .u32(static_cast<uint32_t>(nodes_))
                            .text(std::string(kAddress * all_.size(), 'x')));
    }
    for (Node& node : all_) expect(node, Type::kExchanged);
    for (Node& node : all_) send(node, Encoder(Type::kBye));
  }
  double bytes() const { return bytes_; }

 private:
  void check_in(Node& node, const std::string& key) {
    options_.rank = node.ranks.front();
    options_.node = key;
    const deisa::StoreConnecting one = {
        [&] { return deisa::RankRanges{{options_.rank, options_.rank}}; }, {}};
    node.socket = std::move(deisa::connect_to_store(options_, one, deadline_).socket);
    bytes_ += static_cast<double>(deisa::hello_frame(options_).size());
    Encoder came(Type::kCame);
    came.u32(static_cast<uint32_t>(node.ranks.size() - 1));
    for (size_t i = 1; i < node.ranks.size(); ++i) came.u64(i).i32(node.ranks[i]).i32(1234);
    send(node, came);
    send(node, Encoder(Type::kRendezvous));
  }
  void send(Node& node, Encoder frame) {
    const std::string bytes = frame.frame();
    bytes_ += static_cast<double>(bytes.size());
    node.socket.send(bytes, deadline_);
  }
  void expect(Node& node, Type type) {
    const deisa::FrameSocket::Frame frame = node.socket.receive(deadline_);
    bytes_ += static_cast<double>(frame.payload.size() + 5);
    if (frame.type == type) return;
    std::fprintf(stderr, "store: an answer of type %d, expected %d\n", static_cast<int>(frame.type),
                 static_cast<int>(type));
    std::exit(1);
  }

  const int nodes_;
  const Deadline deadline_;
  deisa::StoreOptions options_;
  std::vector<Node> all_;
  double bytes_ = 0;
};

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int nodes = std::atoi(argv[1]), per_node = std::atoi(argv[2]);
  const bool cyclic = std::strcmp(argv[3], "cyclic") == 0;
  if (nodes < 1 || per_node < 1) return 2;
  deisa::raise_file_limit(static_cast<size_t>(nodes));
  int told[2], go_on[2];
  if (::pipe(told) != 0 || ::pipe(go_on) != 0) return 1;
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(go_on[1]);
    host(nodes * per_node, told[1], go_on[0]);
  }
  int port = 0;
  if (::read(told[0], &port, sizeof(port)) != sizeof(port)) return 1;
  Nodes all(nodes, per_node, cyclic, port);
  const double begin = now();
  all.meet();
  const double met = now() - begin;
  ::close(go_on[1]);
  int status = 0;
  rusage used = {};
  if (::wait4(child, &status, 0, &used) != child || status != 0) return 1;
  std::printf(
      "{\"nodes\": %d, \"per_node\": %d, \"seconds\": %.3f, \"store_cpu\": %.3f, \"connections\": "
      "%d, \"memory\": %ld, \"bytes\": %.0f}\n",
      nodes, per_node, met, seconds(used.ru_utime) + seconds(used.ru_stime), nodes,
      used.ru_maxrss * 1024, all.bytes());
  return 0;
}
