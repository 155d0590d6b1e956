// What the rendezvous store and its clients say to each other over TCP.
//
// PROBE may be a first frame in the place of HELLO: it asks who hosts, and takes part in nothing.
// WHY and GAVE_UP are datagrams, see refusal.hpp: magic, u64 number, and i32 rank, i32 size; or i32
// status, text reason.
//
// A frame is: uint32 length of the rest, uint8 type, payload. Integers are little-endian; a text is
// a uint32 length and its bytes. A client's first frame is HELLO; it then has at most one request
// open, and every request has one answer. FAILED may come at any time after HELLO, and is the last.
//
//   client                                          server
//   HELLO    magic, u16 version, i32 rank,          WELCOME
//            i32 size, i32 process, text secret
//   PROBE    magic                                  HOST     i32 process, u8 failed, text refused,
//                                                            i32 size, ranges; then closes
//   RENDEZVOUS                                      COMPLETE text host, once every rank has come
//   SET      text key, text value                   DONE
//   GET      text key, u64 offset, u64 length       VALUE    text, once the key is there
//   WAIT     u32 number, text keys                  DONE     once all keys are there
//   WHO                                             CAME     i32 size, ranges
//   GIVE_UP  u8 timed out, text reason              FAILED   to every client
//   BYE                                             closes; leaving without it fails the others
//                                                   FAILED   i32 status, u8 timed out, text reason,
//                                                            i32 size, ranges
// Ranges of ranks that came: u32 number, and i32 first, i32 last of each.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "comm/rank_ranges.hpp"

namespace deisa::store {

constexpr std::string_view kMagic = "DEISAst\n";
constexpr uint16_t kVersion = 2;
// Ranks that one rendezvous may have.
constexpr int kMaxRanks = 1 << 20;
constexpr size_t kMaxSecret = 256;
constexpr size_t kMaxKey = 255;
// Of a frame, without its length: before HELLO was accepted, and after.
constexpr size_t kMaxHello = 512;
constexpr size_t kMaxFrame = size_t{4} << 20;
constexpr size_t kLengthBytes = 4;

enum class Type : uint8_t {
  kHello = 1,
  kRendezvous = 2,
  kSet = 3,
  kGet = 4,
  kWait = 5,
  kWho = 6,
  kGiveUp = 7,
  kBye = 8,
  kProbe = 9,
  kWhy = 10,
  kWelcome = 65,
  kComplete = 66,
  kDone = 67,
  kValue = 68,
  kCame = 69,
  kFailed = 70,
  kHost = 71,
  kGaveUp = 72,
};

// Bytes that do not follow the protocol.
struct Malformed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Who checked in.
struct Attendance {
  int size = 0;
  RankRanges came;
};

class Encoder {
 public:
  explicit Encoder(Type type) : bytes_(kLengthBytes, '\0') { u8(static_cast<uint8_t>(type)); }
  Encoder& u8(uint8_t value) { return number(value); }
  Encoder& u16(uint16_t value) { return number(value); }
  Encoder& u32(uint32_t value) { return number(value); }
  Encoder& u64(uint64_t value) { return number(value); }
  Encoder& i32(int32_t value) { return number(static_cast<uint32_t>(value)); }
  Encoder& raw(std::string_view bytes) {
    bytes_ += bytes;
    return *this;
  }
  Encoder& text(std::string_view text) { return u32(static_cast<uint32_t>(text.size())).raw(text); }
  Encoder& attendance(const Attendance& attendance);
  // The whole frame.
  std::string frame();

 private:
  template <typename Number>
  Encoder& number(Number value) {
    for (size_t i = 0; i < sizeof(Number); ++i) {
      bytes_ += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xFFu);
    }
    return *this;
  }
  std::string bytes_;
};

// Reads a payload; throws Malformed when it ends early.
class Decoder {
 public:
  explicit Decoder(std::string_view payload) : rest_(payload) {}
  uint8_t u8() { return static_cast<uint8_t>(number(1)); }
  uint16_t u16() { return static_cast<uint16_t>(number(2)); }
  uint32_t u32() { return static_cast<uint32_t>(number(4)); }
  uint64_t u64() { return number(8); }
  int32_t i32() { return static_cast<int32_t>(u32()); }
  std::string_view raw(size_t bytes);
  std::string_view text(size_t limit = kMaxFrame);
  Attendance attendance();
  // Throws Malformed when bytes are left.
  void end() const;

 private:
  uint64_t number(size_t bytes);
  std::string_view rest_;
};

// The length that the first kLengthBytes of a frame announce.
uint32_t frame_length(const char* bytes);

}  // namespace deisa::store
