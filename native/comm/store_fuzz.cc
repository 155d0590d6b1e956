// Frames that reach rank 0's rendezvous store, from clients that do and do not keep to the protocol.
//
// Input: a byte, the size; then steps: a byte, connection and action, and for a frame its length and bytes.
#include <set>

#include "base/testing/fuzz.hpp"
#include "comm/store_state.hpp"

namespace {

using deisa::fuzz::check;
using deisa::fuzz::Input;
using namespace deisa::store;

constexpr size_t kMaxBytes = 1 << 16;

// What the store says must be what its clients understand.
void check_frame(const std::string& frame) {
  check(frame.size() > kLengthBytes && frame_length(frame.data()) == frame.size() - kLengthBytes,
        "a frame's length");
  check(frame.size() - kLengthBytes <= kMaxAnswer, "a client accepts the length");
  Decoder decoder(std::string_view(frame).substr(kLengthBytes));
  const auto type = static_cast<Type>(decoder.u8());
  if (type == Type::kRefused) decoder.u64();
  if (type == Type::kFailed || type == Type::kRefused) {
    decoder.failure();
    decoder.end();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  State state(1 + input.byte() % 8, "", kMaxBytes,
              [](uint64_t, const std::string& frame) { check_frame(frame); });
  std::set<uint64_t> members;
  const auto reached = deisa::parse_address("127.0.0.1", 0);
  while (!input.empty()) {
    const uint8_t step = input.byte();
    const uint64_t id = 1 + step % 8;
    switch (step / 8) {
      case 0:
        if (members.erase(id) > 0) state.gone(id);
        break;
      case 1:
        state.expire();
        break;
      case 2:
        state.refuse_more("no file is left");
        break;
      default: {
        const std::string frame(input.part());
        if (frame.empty()) break;
        const bool known = members.count(id) > 0;
        try {
          if (known) {
            if (!state.request(id, frame)) members.erase(id);
          } else if (state.hello(id, frame, "192.0.2.1:1", reached) == Admission::kAdmitted) {
            members.insert(id);
          }
        } catch (const Malformed&) {
          if (members.erase(id) > 0) state.gone(id);
        }
      }
    }
    check(!state.complete() || state.attendance().came.size() == 1, "all came");
  }
  return 0;
}
