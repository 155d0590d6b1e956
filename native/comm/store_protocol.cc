#include "comm/store_protocol.hpp"

namespace deisa::store {
namespace {

constexpr size_t kMaxReason = 2000;

}  // namespace

Encoder& Encoder::attendance(const Attendance& attendance) {
  i32(attendance.size).u32(static_cast<uint32_t>(attendance.came.size()));
  for (const auto& [first, last] : attendance.came) i32(first).i32(last);
  return *this;
}

Encoder& Encoder::failure(const Failure& failure) {
  return i32(failure.status)
      .u8(failure.timed_out ? 1 : 0)
      .text(std::string_view(failure.reason).substr(0, kMaxReason))
      .attendance(failure.attendance);
}

std::string Encoder::frame() {
  const auto length = static_cast<uint32_t>(bytes_.size() - kLengthBytes);
  for (size_t i = 0; i < kLengthBytes; ++i) {
    bytes_[i] = static_cast<char>(length >> (8 * i) & 0xFFu);
  }
  return std::move(bytes_);
}

std::string_view Decoder::raw(size_t bytes) {
  if (bytes > rest_.size()) throw Malformed("a frame ends early");
  const std::string_view result = rest_.substr(0, bytes);
  rest_.remove_prefix(bytes);
  return result;
}

uint64_t Decoder::number(size_t bytes) {
  const std::string_view text = raw(bytes);
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
  }
  return value;
}

std::string_view Decoder::text(size_t limit) {
  const uint32_t length = u32();
  if (length > limit) throw Malformed("a text is too long");
  return raw(length);
}

Attendance Decoder::attendance() {
  Attendance attendance;
  attendance.size = i32();
  const uint32_t ranges = u32();
  int next = 0;
  for (uint32_t i = 0; i < ranges; ++i) {
    const int first = i32();
    const int last = i32();
    if (first < next || last < first || last >= attendance.size || last >= kMaxRanks) {
      throw Malformed("ranges of ranks are invalid");
    }
    attendance.came.emplace_back(first, last);
    next = last + 1;
  }
  return attendance;
}

Failure Decoder::failure() {
  Failure failure;
  failure.status = i32();
  failure.timed_out = u8() != 0;
  failure.reason = std::string(text());
  failure.attendance = attendance();
  return failure;
}

void Decoder::end() const {
  if (!rest_.empty()) throw Malformed("a frame is too long");
}

Hello decode_hello(std::string_view frame) {
  Decoder decoder(frame);
  if (static_cast<Type>(decoder.u8()) != Type::kHello || decoder.raw(kMagic.size()) != kMagic) {
    throw Malformed("not a rank of deisa");
  }
  Hello hello;
  hello.version = decoder.u16();
  if (hello.version != kVersion) return hello;
  hello.rank = decoder.i32();
  hello.size = decoder.i32();
  hello.process = decoder.i32();
  hello.nonce = decoder.text(kMaxNonce);
  hello.node = decoder.text(kMaxNode);
  decoder.end();
  return hello;
}

uint32_t frame_length(const char* bytes) {
  return Decoder(std::string_view(bytes, kLengthBytes)).u32();
}

}  // namespace deisa::store
