// Makes a libdeisa whose node actor is a FakeNode in the same process, for tests of the languages
// that bind to it: the whole path of a chunk, with sockets and shared memory, but without Ray.
//   DEISA_FAKE_OUTPUT=FOLDER  writes each chunk of an array whose name begins with "written" to
//                             FOLDER/<array>-<timestep>
//   DEISA_FAKE_FAIL=T         the chunks of timestep T are refused
//   DEISA_FAKE_HOLD=T         the chunks of timestep T are received, and never stored
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bridge/testing/fake_node.hpp"

namespace deisa::testing {
namespace {

bool is_timestep(const char* variable, int64_t timestep) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::to_string(timestep) == value;
}

void write_chunks(FakeNode& node, const FakeNode::Step& step, const char* folder) {
  for (const deisa_node_chunk& chunk : step.chunks) {
    const auto array = nlohmann::json::parse(node.definition(step.bridge_id, chunk.array));
    const std::string name = array.at("name").get<std::string>();
    if (name.rfind("written", 0) != 0) continue;
    std::ofstream file(folder + ("/" + name) + "-" + std::to_string(step.timestep),
                       std::ios::binary);
    file.write(reinterpret_cast<const char*>(chunk.address),
               static_cast<std::streamsize>(chunk.bytes));
  }
}

void answer(FakeNode& node, const FakeNode::Step& step) {
  if (const char* folder = std::getenv("DEISA_FAKE_OUTPUT")) write_chunks(node, step, folder);
  if (is_timestep("DEISA_FAKE_HOLD", step.timestep)) return;
  if (is_timestep("DEISA_FAKE_FAIL", step.timestep)) {
    node.fail(step, DEISA_ERROR_RESOURCE, "refused on request", true);
  } else {
    node.store_and_announce(step);
  }
}

class Library {
 public:
  Library() {
    node_.keep_nothing();
    node_.on_step(answer);
    set_node("", &node_);
  }

 private:
  FakeNode node_;
};

// Its thread waits for ranks from when the library is loaded until the process exits.
const Library library;

}  // namespace
}  // namespace deisa::testing
