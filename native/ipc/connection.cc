#include "ipc/connection.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace deisa {
namespace {

using nlohmann::json;

constexpr int kMaxJsonDepth = 16;

Error malformed(const std::string& what) { return Error(DEISA_ERROR_ARGUMENT, what); }

// A JSON object that is nested moderately, so that no parser after this one runs out of stack.
json parse_object(std::string_view text, const char* where) {
  bool deep = false;
  const auto watch = [&deep](int depth, json::parse_event_t, json&) {
    deep = deep || depth > kMaxJsonDepth;
    return !deep;
  };
  const json parsed = json::parse(text, watch, false);
  if (deep || !parsed.is_object()) {
    throw malformed(std::string(where) + " carries no valid JSON object");
  }
  return parsed;
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at);
    const size_t length = lead < 0x80   ? 1
                          : lead < 0xC2 ? 0
                          : lead < 0xE0 ? 2
                          : lead < 0xF0 ? 3
                          : lead < 0xF5 ? 4
                                        : 0;
    if (length == 0 || length > text.size() - at) return false;
    for (size_t i = 1; i < length; ++i) {
      if ((byte(at + i) & 0xC0u) != 0x80u) return false;
    }
    // Overlong forms, surrogates, and what lies past U+10FFFF.
    if ((lead == 0xE0 && byte(at + 1) < 0xA0) || (lead == 0xED && byte(at + 1) > 0x9F) ||
        (lead == 0xF0 && byte(at + 1) < 0x90) || (lead == 0xF4 && byte(at + 1) > 0x8F)) {
      return false;
    }
    at += length;
  }
  return true;
}

void check_timestep(const wire::Header& header) {
  if (header.timestep == wire::kNoTimestep) {
    throw malformed(kind_name(header.kind) + " has no timestep");
  }
}

void check_empty(const wire::Header& header) {
  if (header.payload != 0) throw malformed(kind_name(header.kind) + " has no payload, but got one");
}

}  // namespace

Event Connection::event(deisa_node_event_kind kind) const {
  Event event;
  event.header.kind = kind;
  event.header.connection = id_;
  event.header.bridge_id = bridge_id_;
  event.header.array = DEISA_NODE_NONE;
  event.header.timestep = DEISA_NO_TIMESTEP;
  return event;
}

void Connection::expect(State state, const wire::Header& header) const {
  if (state_ == state) return;
  const char* now = "";
  switch (state_) {
    case State::kNew:
      now = "expected HELLO";
      break;
    case State::kIntroduced:
      now = "expected DEFINE or READY";
      break;
    case State::kReady:
      now = "READY is not answered yet";
      break;
    case State::kWelcomed:
      now = "expected STEP, PROGRESS, ASK, GET, DELETE, END or BYE";
      break;
    case State::kClosed:
      now = "BYE came before";
      break;
  }
  throw malformed(kind_name(header.kind) + " may not come now: " + now);
}

bool Connection::has_chunks(uint32_t array) const {
  const std::vector<uint64_t>& holders = holder_[array];
  return std::any_of(holders.begin(), holders.end(), [](uint64_t holder) { return holder != 0; });
}

void Connection::check_sequence(const wire::Header& header) const {
  if (header.sequence <= last_sequence_) {
    throw malformed(kind_name(header.kind) + " has the sequence number " +
                    std::to_string(header.sequence) + " after " + std::to_string(last_sequence_));
  }
}

Event Connection::accept(PacketReader& reader) {
  const wire::Header& header = reader.header();
  check_sequence(header);
  if (header.kind != wire::Kind::kHello && reader.has_fd()) {
    throw malformed(kind_name(header.kind) + " came with a descriptor");
  }
  if ((header.flags & ~wire::kLastOfStep) != 0 ||
      (header.flags != 0 && header.kind != wire::Kind::kStep && header.kind != wire::Kind::kGet)) {
    throw malformed(kind_name(header.kind) + " has unknown flags " + std::to_string(header.flags));
  }
  Event result;
  switch (header.kind) {
    case wire::Kind::kHello:
      expect(State::kNew, header);
      hello(reader, result);
      break;
    case wire::Kind::kDefine:
      if (state_ == State::kWelcomed) {
        describe(reader, result);
        break;
      }
      expect(State::kIntroduced, header);
      define(reader, result);
      break;
    case wire::Kind::kReady:
      expect(State::kIntroduced, header);
      check_empty(header);
      map_slots();
      state_ = State::kReady;
      result = event(DEISA_NODE_READY);
      break;
    case wire::Kind::kStep:
      expect(State::kWelcomed, header);
      check_timestep(header);
      step(reader, result);
      break;
    case wire::Kind::kProgress:
    case wire::Kind::kEnd:
      expect(State::kWelcomed, header);
      check_timestep(header);
      check_empty(header);
      result = event(header.kind == wire::Kind::kEnd ? DEISA_NODE_END : DEISA_NODE_PROGRESS);
      break;
    case wire::Kind::kAsk:
      expect(State::kWelcomed, header);
      check_timestep(header);
      check_empty(header);
      if (header.value > 1) throw malformed("ASK has a value other than 0 and 1");
      result = event(DEISA_NODE_ASK);
      result.header.flags = static_cast<uint32_t>(header.value);
      break;
    case wire::Kind::kGet:
    case wire::Kind::kDelete:
      expect(State::kWelcomed, header);
      if (reader.payload().empty() || !is_utf8(reader.payload())) {
        throw malformed(kind_name(header.kind) + " carries no key of UTF-8 text");
      }
      result = event(header.kind == wire::Kind::kGet ? DEISA_NODE_GET : DEISA_NODE_DELETE);
      result.text = reader.payload();
      result.header.flags = header.flags;
      result.header.value = header.value;
      break;
    case wire::Kind::kBye:
      if (state_ == State::kNew || state_ == State::kClosed) expect(State::kWelcomed, header);
      check_empty(header);
      if (header.value > 1) throw malformed("BYE has a value other than 0 and 1");
      state_ = State::kClosed;
      result = event(DEISA_NODE_BYE);
      result.header.flags = static_cast<uint32_t>(header.value);
      break;
    default:
      throw malformed(kind_name(header.kind) + " does not come from a rank");
  }
  last_sequence_ = header.sequence;
  result.header.sequence = header.sequence;
  result.header.timestep = header.timestep;
  return result;
}

void Connection::hello(PacketReader& reader, Event& event) {
  const wire::Header& header = reader.header();
  if (header.value != wire::kVersion) {
    throw Error(DEISA_ERROR_UNSUPPORTED,
                "the rank's library speaks version " + std::to_string(header.value) +
                    " of the protocol, the node actor " + std::to_string(wire::kVersion) +
                    ": install the same version of deisa-bridge on both sides");
  }
  const json hello = parse_object(reader.payload(), "HELLO");
  const auto id = hello.find("bridge_id");
  if (id == hello.end() || !id->is_number_integer() ||
      (id->is_number_unsigned() && id->get<uint64_t>() > std::numeric_limits<int32_t>::max()) ||
      id->get<int64_t>() < 0) {
    throw malformed("HELLO has no \"bridge_id\" between 0 and 2147483647");
  }
  if (!reader.has_fd()) throw malformed("HELLO came without the memory file of the slots");
  FileDescriptor memfd = reader.take_fd();
  memfd_bytes_ = sealed_size(memfd.get());
  if (memfd_bytes_ > wire::kMaxShared) {
    throw Error(DEISA_ERROR_RESOURCE, "the slots have " + std::to_string(memfd_bytes_) +
                                          " bytes; at most " + std::to_string(wire::kMaxShared) +
                                          " are supported");
  }
  memfd_ = std::move(memfd);
  bridge_id_ = id->get<int32_t>();
  state_ = State::kIntroduced;
  event = this->event(DEISA_NODE_HELLO);
  event.text = reader.payload();
}

void Connection::define(const PacketReader& reader, Event& event) {
  const wire::Header& header = reader.header();
  const std::string where = "DEFINE of array " + std::to_string(header.array);
  if (header.array != geometry_.size() || header.array >= wire::kMaxArrays) {
    throw malformed(where + " came where array " + std::to_string(geometry_.size()) +
                    " was expected (at most " + std::to_string(wire::kMaxArrays) + " arrays)");
  }
  wire::SlotGeometry geometry{};
  if (header.payload < sizeof(geometry)) throw malformed(where + " is too short");
  std::memcpy(&geometry, reader.payload().data(), sizeof(geometry));
  const size_t page = page_size();
  if (geometry.bytes == 0 || geometry.count == 0 || geometry.reserved != 0 ||
      geometry.stride < geometry.bytes || geometry.offset % page != 0 ||
      geometry.stride % page != 0) {
    throw malformed(where + " has an invalid slot geometry: offset " +
                    std::to_string(geometry.offset) + ", stride " +
                    std::to_string(geometry.stride) + ", bytes " + std::to_string(geometry.bytes) +
                    ", count " + std::to_string(geometry.count));
  }
  // Divided rather than multiplied, so that no number overflows.
  if (geometry.offset > memfd_bytes_ ||
      geometry.count > (memfd_bytes_ - geometry.offset) / geometry.stride) {
    throw malformed(where + " has slots past the end of the memory file of " +
                    std::to_string(memfd_bytes_) + " bytes");
  }
  if (geometry.count > wire::kMaxSlots - slots_) {
    throw Error(DEISA_ERROR_RESOURCE,
                where + ": more than " + std::to_string(wire::kMaxSlots) + " slots");
  }
  const std::string_view text = reader.payload().substr(sizeof(geometry));
  parse_object(text, where.c_str());
  slots_ += geometry.count;
  geometry_.push_back(geometry);
  event = this->event(DEISA_NODE_DEFINE);
  event.header.array = header.array;
  event.text = text;
}

// The size of an array's chunks has become known.
void Connection::describe(const PacketReader& reader, Event& event) {
  const wire::Header& header = reader.header();
  const std::string where = "DEFINE of array " + std::to_string(header.array);
  wire::SlotGeometry geometry{};
  if (header.array >= geometry_.size()) throw malformed(where + ": there is no such array");
  if (header.payload < sizeof(geometry)) throw malformed(where + " is too short");
  std::memcpy(&geometry, reader.payload().data(), sizeof(geometry));
  wire::SlotGeometry& known = geometry_[header.array];
  const bool same = geometry.offset == known.offset && geometry.stride == known.stride &&
                    geometry.count == known.count && geometry.reserved == 0;
  if (!same || geometry.bytes == 0 || geometry.bytes > geometry.stride) {
    throw malformed(where + " moves its slots, or has chunks of " + std::to_string(geometry.bytes) +
                    " bytes, which do not fit into them");
  }
  if (has_chunks(header.array)) {
    throw malformed(where + " comes after a chunk of it");
  }
  const std::string_view text = reader.payload().substr(sizeof(geometry));
  parse_object(text, where.c_str());
  known.bytes = geometry.bytes;
  event = this->event(DEISA_NODE_DEFINE);
  event.header.array = header.array;
  event.text = text;
}

void Connection::map_slots() {
  std::vector<wire::SlotGeometry> sorted = geometry_;
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.offset < b.offset; });
  uint64_t end = 0;
  for (const wire::SlotGeometry& geometry : sorted) {
    if (geometry.offset < end) throw malformed("the slots of two arrays overlap");
    end = geometry.offset + geometry.stride * geometry.count;
  }
  mapping_ = Mapping(memfd_.get(), end, false);
  memfd_.reset();
  for (const wire::SlotGeometry& geometry : geometry_) holder_.emplace_back(geometry.count, 0);
  shared_.resize(geometry_.size());
}

Connection::ShareRequest Connection::accept_share(const PacketReader& reader) {
  const wire::Header& header = reader.header();
  check_sequence(header);
  expect(State::kWelcomed, header);
  const std::string where = "SHARE of array " + std::to_string(header.array);
  ShareRequest request{header.array, {}, {}};
  if (header.flags != 0 || reader.has_fd() || header.payload <= sizeof(request.slots)) {
    throw malformed(where + " has flags or a descriptor, or no name");
  }
  std::memcpy(&request.slots, reader.payload().data(), sizeof(request.slots));
  request.name = reader.payload().substr(sizeof(request.slots));
  if (header.array >= geometry_.size()) throw malformed(where + ": there is no such array");
  if (shared_[header.array] || has_chunks(header.array)) {
    throw malformed(where + " comes twice, or after a chunk of it");
  }
  const auto& [stride, count, reserved] = request.slots;
  if (stride == 0 || stride % page_size() != 0 || count == 0 || reserved != 0) {
    throw malformed(where + " has invalid slots: stride " + std::to_string(stride) + ", count " +
                    std::to_string(count));
  }
  if (count > wire::kMaxSlots - slots_ || stride > wire::kMaxShared / count) {
    throw Error(DEISA_ERROR_RESOURCE, where + ": more than " + std::to_string(wire::kMaxSlots) +
                                          " slots or " + std::to_string(wire::kMaxShared) +
                                          " bytes");
  }
  last_sequence_ = header.sequence;
  return request;
}

void Connection::share(uint32_t array, std::shared_ptr<const SharedMemory> memory) {
  slots_ += memory->slots.count;
  holder_[array].resize(holder_[array].size() + memory->slots.count, 0);
  shared_[array] = std::move(memory);
}

void Connection::step(const PacketReader& reader, Event& event) {
  const wire::Header& header = reader.header();
  if (header.payload % sizeof(wire::Item) != 0) {
    throw malformed("STEP has a payload that is not a list of chunks");
  }
  const size_t count = header.payload / sizeof(wire::Item);
  event = this->event(DEISA_NODE_STEP);
  event.header.flags = header.flags;
  event.chunks.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    wire::Item item{};
    std::memcpy(&item, reader.payload().data() + i * sizeof(item), sizeof(item));
    if (item.array >= geometry_.size() || item.slot >= holder_[item.array].size()) {
      throw malformed("STEP of timestep " + std::to_string(header.timestep) + " names slot " +
                      std::to_string(item.slot) + " of array " + std::to_string(item.array) +
                      ", which was not defined");
    }
    uint64_t& holder = holder_[item.array][item.slot];
    if (holder != 0) {
      throw malformed("STEP of timestep " + std::to_string(header.timestep) + " names slot " +
                      std::to_string(item.slot) + " of array " + std::to_string(item.array) +
                      ", which is still in use");
    }
    holder = header.sequence;
    const wire::SlotGeometry& geometry = geometry_[item.array];
    const bool shared = item.slot >= geometry.count;
    const std::byte* address =
        shared ? shared_[item.array]->mapping.data() +
                     (item.slot - geometry.count) * shared_[item.array]->slots.stride
               : mapping_.data() + geometry.offset + item.slot * geometry.stride;
    event.chunks.push_back(deisa_node_chunk{item.array, item.slot,
                                            reinterpret_cast<uint64_t>(address), geometry.bytes,
                                            shared ? shared_[item.array]->slots.stride : 0});
  }
}

bool Connection::welcome() noexcept {
  if (state_ != State::kReady) return false;
  state_ = State::kWelcomed;
  return true;
}

bool Connection::free_slot(uint32_t array, uint32_t slot, uint64_t sequence) noexcept {
  if (array >= holder_.size() || slot >= holder_[array].size()) return false;
  uint64_t& holder = holder_[array][slot];
  if (holder == 0 || holder != sequence) return false;
  holder = 0;
  return true;
}

}  // namespace deisa
