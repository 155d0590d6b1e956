// Makes a libdeisa whose node actor is a FakeNode in the same process, for tests of the languages
// that bind to it: the whole path of a chunk, with sockets and shared memory, but without Ray.
//   DEISA_FAKE_OUTPUT=FOLDER  writes each chunk of an array whose name begins with "written" to
//                             FOLDER/<array>-<timestep>
//   DEISA_FAKE_FAIL=T         the chunks of timestep T are refused
//   DEISA_FAKE_HOLD=T         the chunks of timestep T are received, and never stored
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

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
    set_values();
    set_node("", &node_);
  }

 private:
  // What tests/programs/languages reads.
  void set_values() {
    using nlohmann::json;
    const std::pair<const char*, json> all[] = {
        {"number", 2.5},
        {"integer", -7},
        {"logical", true},
        {"text", "h\u00e9"},
        {"bytes", json::binary({1, 2, 255})},
        {"tree", {{"a", {1, nullptr}}}},
        {"most", UINT64_MAX},
        {"gain@3", 0.25},
        {"gain*", {{1, 0.5}, {3, 0.25}}},
    };
    for (const auto& [key, value] : all) {
      std::string packed;
      json::to_msgpack(value, packed);
      node_.set_value(key, packed);
    }
    // The same as pickles, for Python.
    const std::pair<const char*, std::string> pickles[] = {
        {"number", "F2.5\n."},
        {"integer", "I-7\n."},
        {"logical", "I01\n."},
        {"text", "Vh\\u00e9\n."},
        {"bytes", "C\x03\x01\x02\xff."},
        {"tree", "(dVa\n(lI1\naNas."},
        {"most", "L18446744073709551615L\n."},
        {"array", "cnumpy\narange\n(F6.0\ntR."},
        {"gain@3", "F0.25\n."},
        {"gain*", "(l(I1\nF0.5\nta(I3\nF0.25\nta."},
    };
    for (const auto& [key, pickle] : pickles) {
      std::string packed;
      json::to_msgpack(json::binary({pickle.begin(), pickle.end()}, 2), packed);
      node_.set_value(std::string("pickle ") + key, packed);
    }
    // A NumPy array: [[0, 1, 2], [3, 4, 5]].
    const double elements[] = {0, 1, 2, 3, 4, 5};
    const auto* bytes = reinterpret_cast<const uint8_t*>(elements);
    std::vector<uint8_t> parts;
    json::to_msgpack({"float64", {2, 3}, json::binary({bytes, bytes + sizeof(elements)})}, parts);
    std::string packed;
    json::to_msgpack(json::binary(parts, 1), packed);
    node_.set_value("array", packed);
  }

  FakeNode node_;
};

// Its thread waits for ranks from when the library is loaded until the process exits.
const Library library;

}  // namespace
}  // namespace deisa::testing
