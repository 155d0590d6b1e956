// As rank_packet_fuzz.cc, through the node actor's thread and queues: node.h as Python uses it. Input: messages, see
// fuzz_packets.hpp.
#include <sys/un.h>
#include <unistd.h>

#include <vector>

#include "ipc/fuzz_packets.hpp"
#include "ipc/node.h"

namespace {

using namespace deisa::fuzz;

struct Node {
  std::string path = "/tmp/deisa-fuzz-" + std::to_string(::getpid());
  deisa_node_receiver* receiver = nullptr;
  Node() {
    char message[256];
    check(deisa_node_open(path.c_str(), &receiver, message, sizeof(message)) == DEISA_OK,
          "the node opens");
  }
  ~Node() { deisa_node_destroy(receiver); }
};

deisa::FileDescriptor connect(const std::string& path) {
  const deisa::UnixAddress address(path);
  deisa::FileDescriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  check(::connect(fd.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length) == 0,
        "it listens");
  return fd;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Node node;
  deisa_node_receiver* const receiver = node.receiver;
  Input input(data, size);
  deisa::FileDescriptor rank = connect(node.path);
  bool spoke = false;
  for (int i = 0; i < 64 && !input.empty(); ++i) {
    const Message message(input);
    if (message.bytes.empty()) break;  // on such a socket it cannot be told from the end
    spoke = message.send(rank.get()) || spoke;
  }
  ::shutdown(rank.get(), SHUT_WR);
  for (bool ended = !spoke; !ended;) {
    deisa_node_event event{};
    check(deisa_node_next(receiver, &event, 20000) == DEISA_OK, "a connection's end is an event");
    const uint64_t id = event.connection;
    switch (event.kind) {
      case DEISA_NODE_READY:
        deisa_node_welcome(receiver, id, event.sequence);
        break;
      case DEISA_NODE_STEP: {
        const auto* chunks = static_cast<const deisa_node_chunk*>(event.payload);
        const std::vector<deisa_node_chunk> held(chunks, chunks + event.count);
        for (const deisa_node_chunk& chunk : held) {
          deisa_node_stored(receiver, id, event.sequence, chunk.array, chunk.slot);
          deisa_node_announced(receiver, id, event.sequence, chunk.array);
        }
        break;
      }
      case DEISA_NODE_GET:
        deisa_node_value(receiver, id, event.sequence, DEISA_OK, 1, "x", 1);
        break;
      case DEISA_NODE_DELETE:
      case DEISA_NODE_DEFINE:
        deisa_node_done(receiver, id, event.sequence, DEISA_OK, "", 0);
        break;
      case DEISA_NODE_BYE:
      case DEISA_NODE_LOST:
        check(deisa_node_release(receiver, id) == DEISA_OK, "it is over");
        ended = true;
        break;
      default:
        break;
    }
  }
  return 0;
}
