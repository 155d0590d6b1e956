// What a node actor that keeps to nothing sends to a rank. Input: a byte, the number of calls, and a byte for each; then
// messages, see fuzz_packets.hpp. They are there before the calls.
#include <sys/un.h>
#include <unistd.h>

#include "ipc/client.hpp"
#include "ipc/fuzz_packets.hpp"

namespace {

using deisa::Client;
using namespace deisa::fuzz;

// Ends with the process.
struct Listener {
  std::string path = "/tmp/deisa-fuzz-" + std::to_string(::getpid());
  deisa::FileDescriptor fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
  Listener() {
    ::unlink(path.c_str());
    const deisa::UnixAddress address(path);
    check(::bind(fd.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length) == 0 &&
              ::listen(fd.get(), 8) == 0,
          "there is a socket at " + path);
  }
  ~Listener() { ::unlink(path.c_str()); }
};

void call(Client& client, uint8_t what, const deisa::Deadline& deadline) {
  deisa::wire::SlotGeometry geometry{0, 65536, 100, 2, 0};
  Client::Query query;
  switch (what % 10) {
    case 0:
      client.introduce("{}", descriptor(0), {{geometry, "{}"}}, deadline);
      break;
    case 1:
      client.describe(0, {geometry, "{}"}, deadline);
      break;
    case 2:
      client.send_step(1, true, {{0, 0}}, deadline);
      break;
    case 3:
      client.wait_for_gate(what, what % 3 == 0 ? 0 : client.send_ask(what, true, deadline),
                           deadline);
      break;
    case 4:
      for (int i = 0; i < 4; ++i) {
        const auto answer = client.receive(deadline);
        if (!answer) break;
        const deisa::wire::Header& header = answer->header;
        check(header.array == deisa::wire::kNone ? header.slot == deisa::wire::kNone
                                                 : header.array < 1,
              "an answer's array and slot are in range");
      }
      break;
    case 5:
      query.all = what % 3 == 0;
      query.timestep = 1;
      (void)client.get("key", query, deadline);
      break;
    case 6:
      (void)client.get("key", {}, deadline);
      break;
    case 7:
      client.remove("key", deadline);
      break;
    case 8:
      (void)client.poll();
      break;
    default:
      client.send_progress(what, deadline);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Listener listener;
  Input input(data, size);
  const std::string_view calls = input.bytes(input.byte() % 16);
  const deisa::Deadline now = deisa::Deadline::after(0);  // no call waits
  Client client(listener.path, deisa::Deadline::after(10));
  const deisa::FileDescriptor actor(
      ::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  while (!input.empty()) (void)Message(input).send(actor.get());
  for (const char what : calls) {
    try {
      call(client, static_cast<uint8_t>(what), now);
    } catch (const deisa::Error&) {
    }
  }
  client.send_bye(true);
  return 0;
}
