// What a rank that keeps to nothing sends to the node actor: how each message is read and what it means, without the
// actor's thread and its queues (receiver_fuzz.cc has those). Input: messages, see fuzz_packets.hpp.
#include <memory>
#include <vector>

#include "base/error.hpp"
#include "ipc/connection.hpp"
#include "ipc/fuzz_packets.hpp"

namespace {

using deisa::Connection;
using deisa::Event;
using namespace deisa::fuzz;

// As the receiver does, with less memory.
void share(Connection& connection, const deisa::PacketReader& reader) {
  const Connection::ShareRequest request = connection.accept_share(reader);
  const uint64_t bytes = request.slots.stride * request.slots.count;
  if (bytes > kMemory) return;
  auto made = std::make_shared<deisa::SharedMemory>();
  made->slots = request.slots;
  made->memfd = memory(bytes, true);
  made->mapping = deisa::Mapping(made->memfd.get(), bytes, false);
  connection.share(request.array, made);
}

// As Python does with a step.
void take(Connection& connection, const Event& event) {
  uint64_t sum = 0;
  for (const deisa_node_chunk& chunk : event.chunks) {
    const auto* bytes = reinterpret_cast<const volatile unsigned char*>(chunk.address);
    sum += bytes[0];
    sum += bytes[(chunk.shared == 0 ? chunk.bytes : chunk.shared) - 1];
    check(connection.has_array(chunk.array), "a chunk's array is defined");
    if ((event.header.timestep + chunk.slot) % 2 == 0) {
      check(connection.free_slot(chunk.array, chunk.slot, event.header.sequence),
            "the slot was held");
    }
  }
  check(sum != 1, "the slots are empty");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const Ends ends;
  static deisa::PacketReader reader;
  Connection connection(1);
  while (!input.empty()) {
    if (!Message(input).send(ends.theirs.get())) continue;
    const deisa::ReadResult read = reader.read(ends.ours.get());
    if (read != deisa::ReadResult::kMessage) break;
    try {
      if (reader.header().kind == deisa::wire::Kind::kShare) {
        share(connection, reader);
        continue;
      }
      const Event event = connection.accept(reader);
      if (event.header.kind == DEISA_NODE_READY)
        check(connection.welcome(), "READY was not answered");
      take(connection, event);
      if (event.header.kind == DEISA_NODE_BYE) break;
    } catch (const deisa::Error&) {
      break;
    }
  }
  reader.drop_fd();
  return 0;
}
