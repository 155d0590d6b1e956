// What a rank reads from whoever answers as rank 0's store, or as the relay of its node.
//
// Input: a byte, the number of calls, and a byte for each; then frames: length and bytes. A length of 65535 stands for
// bytes without a length, up to the end.
#include <sys/socket.h>

#include "base/testing/fuzz.hpp"
#include "comm/store_client.hpp"

namespace {

using deisa::fuzz::Input;

std::string stream(Input& input) {
  std::string all;
  while (!input.empty()) {
    const auto length = input.number<uint16_t>();
    if (length == UINT16_MAX) return all.append(input.rest());
    const std::string_view frame = input.bytes(length);
    for (size_t i = 0; i < deisa::store::kLengthBytes; ++i)
      all += static_cast<char>(frame.size() >> (8 * i) & 0xFFu);
    all += frame;
  }
  return all;
}

void call(deisa::StoreClient& client, uint8_t what, const deisa::Deadline& deadline) {
  switch (what % 5) {
    case 0:
      (void)client.rendezvous(deadline);
      break;
    case 1:
      client.set("key", "value", deadline);
      break;
    case 2:
      (void)client.get("key", deadline);
      break;
    case 3:
      (void)client.exchange(0, 1 + what / 5 % 4, std::string(size_t{12}, 'x'), deadline);
      break;
    default:
      client.give_up("it must");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const std::string_view calls = input.bytes(input.byte() % 8);
  const std::string sent = stream(input);
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return 0;
  const deisa::FileDescriptor peer(ends[1]);
  deisa::FrameSocket socket{deisa::FileDescriptor(ends[0])};
  (void)!::send(peer.get(), sent.data(), sent.size(), MSG_NOSIGNAL);
  ::shutdown(peer.get(), SHUT_WR);  // so that no call waits
  deisa::StoreOptions options;
  options.size = 4;
  deisa::StoreClient client(options, deisa::StoreMessages(options), std::move(socket), {});
  for (const char what : calls) {
    try {
      call(client, static_cast<uint8_t>(what), deisa::Deadline::after(10));
    } catch (const deisa::Error&) {
    }
  }
  return 0;
}
