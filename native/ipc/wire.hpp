// The wire format between a rank and the node actor: written down here once, used by both ends.
//
// A Unix-domain socket of type SOCK_SEQPACKET: one send is one message. Every message is a header
// of 48 bytes in the machine's byte order (both ends are on one machine), then `payload` bytes.
// A message is at most kMaxMessage bytes. One file descriptor may travel with HELLO and VALUE.
//
//   offset size field     meaning
//        0    4 magic     0x41534944 ("DISA")
//        4    2 kind      Kind, below
//        6    2 flags     kLastOfStep in STEP, kAll in GET, kKept in VALUE
//        8    8 sequence  the rank's number of its message, 1, 2, ..., always increasing; answers
//                         repeat it, NOTICE has 0
//       16    8 timestep  of the data or of the feedback; kNoTimestep if none
//       24    4 array     index in the order of DEFINE; kNone if none
//       28    4 slot      index of a slot of that array; kNone if none
//       32    4 status    a deisa_status, in answers
//       36    4 payload   bytes that follow the header
//       40    8 value     depends on the kind
//
// From the rank:
//   HELLO     value = protocol version; payload = JSON {"bridge_id", "world_size", "session",
//             "max_in_flight", "step_timeout", "pickles"}; the memfd of all slots travels along
//   DEFINE    array; payload = SlotGeometry, then JSON {"name", "dtype", "chunk_shape",
//             "nb_chunks_per_dim", "chunk_position", "nb_chunks_of_node"}
//             Each geometry lies within the memfd, and none overlaps another. For an array whose
//             dtype is null, "bytes" is what the largest dtype needs, and DEFINE comes again after
//             WELCOME, before its first chunk: with the chunk's bytes and JSON {"dtype"}  -> DONE
//   READY     every array is defined; nothing else may come before  -> WELCOME or REFUSED
//   STEP      timestep; payload = Item[]: chunks that are in their slots -> RECEIVED at once, then
//             STORED and ANNOUNCED, or FAILED, for each chunk. A step may have no chunk.
//   PROGRESS  timestep: this rank will send nothing older. No answer.
//   GET       timestep or kNoTimestep; value = milliseconds to wait for such a value; flag kAll: all kept
//             values; payload = key                                 -> VALUE
//   DELETE    payload = key                                         -> DONE
//   END       timestep: send the end marker (bridge 0 only)         -> ANNOUNCED or FAILED
//   BYE       value = 1 closed, 0 abandoned; the socket is closed next. No answer.
//   SHARE     array; payload = SharedSlots, then the name of the memory that the chunks of several
//             ranks of this node share. Before the first STEP    -> VALUE with that memory as its memfd
//   ASK       timestep that this rank wants to begin; value = 1 it waits until it may, 0 it wants
//             to know now                                 -> GATE, again whenever it moves
// A slot whose number is not below the count of its array is one of the memory that it shares: that
// number less the count. The chunk lies somewhere in it; where is Python's and the rank's business.
// From the node actor:
//   WELCOME, DONE   the request succeeded, or, with a negative status in DONE, failed; payload = text
//   REFUSED         status; payload = text. The connection is useless from then on.
//   RECEIVED        the actor holds all chunks of STEP `sequence`
//   STORED          array, slot: the chunk is an object in the store; the slot is free
//   ANNOUNCED       array: the head actor knows the chunk
//   FAILED          status, timestep, array, slot; payload = text. The slot, unless kNone, is free
//                   now. DEISA_ERROR_TIMEOUT is a report on the way: the chunk is kept, and STORED
//                   and ANNOUNCED may still come. Any other status is final for this chunk.
//   VALUE           status DEISA_OK or DEISA_NOT_FOUND or an error; payload = MessagePack, or text
//                   for an error; value = size. A value that does not fit travels as a memfd. Flag kKept:
//                   CHANGED will tell when it is out of date
//   CHANGED         value = length of the key; payload = key, and with status DEISA_OK the new value.
//                   DEISA_NOT_FOUND: there is none any more; DEISA_PENDING: ask for it. sequence = 0
//   NOTICE          status; payload = text: a failure that belongs to no request
//   GATE            value = 1: any timestep may begin; 0: none after `timestep` (kNoTimestep:
//                   none at all), and payload = text, why. sequence = that of the ASK it answers,
//                   or 0
#pragma once

#include <cstdint>

namespace deisa::wire {

inline constexpr uint32_t kMagic = 0x41534944;
inline constexpr uint64_t kVersion = 4;
inline constexpr uint32_t kNone = 0xFFFFFFFFu;
inline constexpr int64_t kNoTimestep = INT64_MIN;
inline constexpr uint32_t kMaxMessage = 65536;
inline constexpr uint16_t kLastOfStep = 1;  // flag of a STEP
inline constexpr uint16_t kAll = 1;         // flag of a GET
inline constexpr uint16_t kKept = 1;        // flag of a VALUE
inline constexpr uint16_t kFinal = 1;       // flag of a NOTICE: no chunk will be analysed any more

// What one rank may ask for. A step of all its arrays fits into one message.
inline constexpr uint32_t kMaxPayload = kMaxMessage - 48;
inline constexpr uint32_t kMaxArrays = kMaxPayload / 8;
inline constexpr uint32_t kMaxSlots = 1u << 18;     // of all arrays together
inline constexpr uint64_t kMaxShared = 1ull << 40;  // bytes of slots
inline constexpr uint64_t kMaxValue = 1ull << 32;   // bytes of a VALUE

enum class Kind : uint16_t {
  kHello = 1,
  kDefine = 2,
  kReady = 3,
  kStep = 4,
  kProgress = 5,
  kGet = 6,
  kDelete = 7,
  kEnd = 8,
  kBye = 9,
  kAsk = 10,
  kShare = 11,
  kWelcome = 64,
  kRefused = 65,
  kReceived = 66,
  kStored = 67,
  kAnnounced = 68,
  kFailed = 69,
  kValue = 70,
  kDone = 71,
  kNotice = 72,
  kGate = 73,
  kChanged = 74,
};

struct Header {
  uint32_t magic = kMagic;
  Kind kind{};
  uint16_t flags = 0;
  uint64_t sequence = 0;
  int64_t timestep = kNoTimestep;
  uint32_t array = kNone;
  uint32_t slot = kNone;
  int32_t status = 0;
  uint32_t payload = 0;
  uint64_t value = 0;
};
static_assert(sizeof(Header) == 48);

// One chunk of a STEP.
struct Item {
  uint32_t array;
  uint32_t slot;
};
static_assert(sizeof(Item) == 8);

// Where the slots of an array lie in the memfd: slot i starts at offset + i * stride.
struct SlotGeometry {
  uint64_t offset;  // a multiple of the page size
  uint64_t stride;  // a multiple of the page size, >= bytes
  uint64_t bytes;   // of one chunk
  uint32_t count;
  uint32_t reserved = 0;
};
static_assert(sizeof(SlotGeometry) == 32);

// Memory of several ranks: slot i starts at i * stride.
struct SharedSlots {
  uint64_t stride;  // a multiple of the page size
  uint32_t count;
  uint32_t reserved = 0;
};
static_assert(sizeof(SharedSlots) == 16);

}  // namespace deisa::wire
