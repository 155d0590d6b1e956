// The hand-over between processes: a bare round trip over a Unix socket, the same through the
// bridge's client and the node actor's receiver, and the book-keeping of slots.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "base/deadline.hpp"
#include "ipc/client.hpp"
#include "ipc/node.h"
#include "ipc/slots.hpp"

extern "C" {
#include "../trip.h"
}

namespace {

using deisa::Client;
using deisa::Deadline;
using deisa::Slots;

Deadline soon() { return Deadline::after(20); }

void socket_round_trip(benchmark::State& state) {
  const int socket = trip_start();
  for (auto _ : state) {
    if (socket < 0 || trip_once(socket) != 0) {
      state.SkipWithError("the other process is gone");
      break;
    }
  }
  if (socket >= 0) ::close(socket);
}
BENCHMARK(socket_round_trip)->UseRealTime();

// The node actor's end: admits a rank, then frees the slots of its steps.
class Node {
 public:
  Node() : path_("/tmp/deisa-bench-" + std::to_string(::getpid())) {
    if (deisa_node_open(path_.c_str(), &receiver_, nullptr, 0) != DEISA_OK) std::abort();
    thread_ = std::thread([this] { serve(); });
  }
  ~Node() {
    deisa_node_stop(receiver_);
    thread_.join();
    deisa_node_destroy(receiver_);
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  const std::string& path() const { return path_; }

 private:
  void serve() {
    deisa_node_event event{};
    int32_t status = DEISA_OK;
    while ((status = deisa_node_next(receiver_, &event, 500)) != DEISA_ERROR_CONNECTION) {
      if (status != DEISA_OK) continue;
      if (event.kind == DEISA_NODE_READY) {
        deisa_node_welcome(receiver_, event.connection, event.sequence);
      }
      if (event.kind == DEISA_NODE_GET) {
        const char packed[] = "\x01";
        deisa_node_value(receiver_, event.connection, event.sequence, DEISA_OK, 0, packed, 1);
      }
    }
  }

  std::string path_;
  deisa_node_receiver* receiver_ = nullptr;
  std::thread thread_;
};

// STEP to RECEIVED, without chunks: the bridge's own path through the socket.
void handoff_round_trip(benchmark::State& state) {
  const Node node;
  const Slots slots({4096}, 3);
  Client client(node.path(), soon());
  client.introduce(R"({"bridge_id": 0})", slots.fd(), {{slots.geometry(0), "{}"}}, soon());
  int64_t timestep = 0;
  for (auto _ : state) {
    client.send_step(timestep++, true, {}, soon());
    if (!client.receive(soon())) {
      state.SkipWithError("no answer");
      break;
    }
  }
  client.send_bye(true);
}
BENCHMARK(handoff_round_trip)->UseRealTime();

void get_round_trip(benchmark::State& state) {
  const Node node;
  const Slots slots({4096}, 3);
  Client client(node.path(), soon());
  client.introduce(R"({"bridge_id": 0})", slots.fd(), {{slots.geometry(0), "{}"}}, soon());
  for (auto _ : state) {
    benchmark::DoNotOptimize(client.get("threshold", DEISA_LATEST, soon()).found);
  }
  client.send_bye(true);
}
BENCHMARK(get_round_trip)->UseRealTime();

void slots_acquire_release(benchmark::State& state) {
  Slots slots({4096, 4096}, 3);
  for (auto _ : state) {
    const uint32_t slot = slots.acquire(1);
    benchmark::DoNotOptimize(slots.data(1, slot));
    slots.release(1, slot);
  }
}
BENCHMARK(slots_acquire_release);

// Making and mapping the slots of one array, and touching each page of one.
void slots_first_touch(benchmark::State& state) {
  const auto bytes = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    const Slots slots({bytes}, 3);
    std::byte* data = slots.data(0, 0);
    for (size_t at = 0; at < bytes; at += 4096) data[at] = std::byte{1};
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(slots_first_touch)->Arg(2 << 20)->Arg(16 << 20);

}  // namespace
