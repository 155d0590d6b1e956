// What the rendezvous store and its clients say to each other: over TCP, and over Unix sockets to
// the relay of a node (relay.hpp), which speaks to the store for the ranks of its node.
//
// PROBE may be a first frame in the place of HELLO: it asks who hosts, and takes part in nothing.
// WHY and GAVE_UP are datagrams, see refusal.hpp: magic, u64 number, and ranges; or i32 status, text
// reason.
//
// A frame is: uint32 length of the rest, uint8 type, payload. Integers are little-endian; a text is
// a uint32 length and its bytes. A client's first frame is HELLO, with which its own rank checks in;
// a rank then has at most one request open, and every request has one answer. FAILED may come at
// any time after HELLO, and is the last.
//
//   client                                          server
//   HELLO    magic, u16 version, i32 rank,          WELCOME  i32 rank that relays, or -1
//            i32 size, i32 process, text nonce,
//            text node
//   after a HELLO with a nonce, before WELCOME (secret_proof.hpp):
//                                                   CHALLENGE text nonce, text proof
//   PROOF    text proof; "": the server's is wrong
//   PROBE    magic                                  HOST     i32 process, u8 failed, text refused,
//                                                            i32 size, ranges; then closes
//   RENDEZVOUS                                      COMPLETE text host, text own, text nodes; once
//                                                            every rank has come
//   SET      text key, text value                   DONE
//   GET      text key                               VALUE    text key, text; once the key is there
//   EXCHANGE u32 place, u32 number, text            EXCHANGED u32 place, texts; once all places are
//                                                            there
//   GIVE_UP  i32 rank, u8 timed out, text reason    FAILED   to every client
//   BYE                                             closes; leaving without it fails the others
//                                                   FAILED   i32 status, u8 timed out, text reason,
//                                                            i32 size, ranges
// From a relay only:
//   CAME     u32 number, and u64 line, i32 rank,    REFUSED  u64 line, and as FAILED
//            i32 process of each
//   LEFT     u64 line                               FAILED   to every client
// To the ranks of a relay only, until it has reached rank 0; WAITING also after GIVE_UP:
//                                                   WAITING  i32 rank that relays, text problem
//                                                   ELSEWHERE  go to rank 0 yourself; then closes
//
// Ranges of ranks that came: u32 number, and i32 first, i32 last of each. A line is one of the
// connections of a relay. EXCHANGE gives one part of its text, of equal size, to each place.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "comm/rank_ranges.hpp"

namespace deisa::store {

constexpr std::string_view kMagic = "DEISAst\n";
constexpr uint16_t kVersion = 4;
// Ranks that one rendezvous may have.
constexpr int kMaxRanks = 1 << 20;
constexpr size_t kMaxSecret = 256;  // in the environment: no frame has it
constexpr size_t kMaxNonce = 32;
constexpr size_t kMaxKey = 255;
constexpr size_t kMaxNode = 64;  // of the key of a node
// Of a frame, without its length: before HELLO was accepted, and after.
constexpr size_t kMaxHello = 512;
constexpr size_t kMaxFrame = size_t{4} << 20;
constexpr size_t kMaxAnswer = kMaxFrame + kMaxHello;
constexpr size_t kLengthBytes = 4;

enum class Type : uint8_t {
  kHello = 1,
  kRendezvous = 2,
  kSet = 3,
  kGet = 4,
  kExchange = 5,
  kCame = 6,
  kGiveUp = 7,
  kBye = 8,
  kProbe = 9,
  kWhy = 10,
  kLeft = 11,
  kProof = 12,
  kWelcome = 65,
  kComplete = 66,
  kDone = 67,
  kValue = 68,
  kExchanged = 69,
  kFailed = 70,
  kHost = 71,
  kGaveUp = 72,
  kRefused = 73,
  kWaiting = 74,
  kElsewhere = 75,
  kChallenge = 76,
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

// What FAILED says.
struct Failure {
  int status = 0;
  bool timed_out = false;
  std::string reason;
  Attendance attendance;
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
  Encoder& failure(const Failure& failure);
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
  Failure failure();
  std::string_view rest() const { return rest_; }
  // Throws Malformed when bytes are left.
  void end() const;

 private:
  uint64_t number(size_t bytes);
  std::string_view rest_;
};

// What a server does with a connection after a frame of HELLO or PROOF.
enum class Admission {
  kAdmitted,
  kUndecided,  // another frame is to come
  kRefused,    // closed, after sending what is to be sent
};

// What HELLO says. The rest is not known for another version.
struct Hello {
  uint16_t version = 0;
  int rank = -1;
  int size = 0;
  int32_t process = 0;
  std::string nonce;  // "" without a secret
  std::string node;
};
// Throws Malformed when the frame is no HELLO.
Hello decode_hello(std::string_view frame);

// The length that the first kLengthBytes of a frame announce.
uint32_t frame_length(const char* bytes);

}  // namespace deisa::store
