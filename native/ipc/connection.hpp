// What one rank's messages mean to the node actor, and when they may come. Knows no socket, no
// thread and no lock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.hpp"
#include "ipc/memfd.hpp"
#include "ipc/node.h"
#include "ipc/packet.hpp"
#include "ipc/wire.hpp"

namespace deisa {

// An event for Python, with the memory that a deisa_node_event points into.
struct Event {
  deisa_node_event header{};
  std::string text;
  std::vector<deisa_node_chunk> chunks;
};

// Memory that chunks of several ranks share. It lives as long as one of them may send, or its chunks are
// read.
struct SharedMemory {
  FileDescriptor memfd;
  wire::SharedSlots slots{};
  Mapping mapping;
};

class Connection {
 public:
  explicit Connection(uint64_t id) : id_(id) {}

  // Checks the message in `reader` and turns it into an event. READY maps the slots; STEP marks
  // its slots used. Throws Error(DEISA_ERROR_ARGUMENT, _UNSUPPORTED or _RESOURCE) if the message is
  // not what may come now; the connection is to be closed then.
  Event accept(PacketReader& reader);

  // What the SHARE in `reader` asks for: array, slots, name. Throws as accept() does.
  struct ShareRequest {
    uint32_t array;
    wire::SharedSlots slots;
    std::string name;
  };
  ShareRequest accept_share(const PacketReader& reader);
  void share(uint32_t array, std::shared_ptr<const SharedMemory> memory);

  // READY was answered: steps may come. False if READY has not come or was answered already.
  bool welcome() noexcept;

  // The slot is free. False if there is no such slot, or step `sequence` does not hold it.
  bool free_slot(uint32_t array, uint32_t slot, uint64_t sequence) noexcept;
  bool has_array(uint32_t array) const noexcept { return array < geometry_.size(); }

  Event event(deisa_node_event_kind kind) const;
  int32_t bridge_id() const noexcept { return bridge_id_; }
  size_t mapped_bytes() const noexcept { return mapping_.size(); }

 private:
  enum class State { kNew, kIntroduced, kReady, kWelcomed, kClosed };

  bool has_chunks(uint32_t array) const;
  void check_sequence(const wire::Header& header) const;
  void expect(State state, const wire::Header& header) const;
  void hello(PacketReader& reader, Event& event);
  void define(const PacketReader& reader, Event& event);
  void describe(const PacketReader& reader, Event& event);
  void map_slots();
  void step(const PacketReader& reader, Event& event);

  uint64_t id_;
  State state_ = State::kNew;
  int32_t bridge_id_ = -1;
  uint64_t last_sequence_ = 0;
  FileDescriptor memfd_;  // until READY
  size_t memfd_bytes_ = 0;
  Mapping mapping_;
  std::vector<wire::SlotGeometry> geometry_;
  size_t slots_ = 0;
  std::vector<std::vector<uint64_t>> holder_;  // of each slot: the sequence of its step, or 0
  std::vector<std::shared_ptr<const SharedMemory>> shared_;  // of each array; empty: none
};

}  // namespace deisa
