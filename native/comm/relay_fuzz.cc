// Frames that reach the relay of a node: from the ranks of its node, and from the store.
//
// Input: steps: a byte, connection and action, and for a frame or a text its length and bytes.
#include <set>

#include "base/testing/fuzz.hpp"
#include "comm/relay_state.hpp"

namespace {

using deisa::fuzz::check;
using deisa::fuzz::Input;
using namespace deisa::store;

constexpr uint64_t kOwn = 1;
constexpr uint64_t kUpstream = 8;

deisa::StoreOptions options() {
  deisa::StoreOptions options;
  options.rank = 1;
  options.size = 8;
  options.node = "node";
  return options;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  RelayState state(options(), [](uint64_t, const std::string& frame) {
    check(frame.size() > kLengthBytes && frame_length(frame.data()) == frame.size() - kLengthBytes,
          "a frame's length");
    check(frame.size() - kLengthBytes <= kMaxAnswer, "a client accepts the length");
  });
  state.add_own(kOwn);
  std::set<uint64_t> members = {kOwn};
  bool reached = false;
  while (!input.empty()) {
    const uint8_t step = input.byte();
    const uint64_t id = 1 + step % 8;
    switch (step / 8) {
      case 0:
        if (members.erase(id) > 0) state.gone(id);
        break;
      case 1:
        state.report();
        break;
      case 2:
        if (!reached) {
          state.reached(kUpstream, "192.0.2.1");
          members.insert(kUpstream);
        }
        reached = true;
        break;
      case 3:
        state.note_problem(std::string(input.part()));
        break;
      case 4:
        state.give_up(std::string(input.part()));
        break;
      case 5:
        state.fail({-1, true, std::string(input.part()), {}});
        break;
      default: {
        const std::string frame(input.part());
        if (frame.empty() || (id == kUpstream && members.count(id) == 0)) break;
        try {
          if (members.count(id) > 0) {
            if (!state.request(id, frame)) members.erase(id);
          } else if (state.hello(id, frame) == Admission::kAdmitted) {
            members.insert(id);
          }
        } catch (const Malformed&) {
          members.erase(id);
          state.gone(id);
        }
      }
    }
    (void)state.ranks();
  }
  state.report();
  state.say_goodbye();
  return 0;
}
