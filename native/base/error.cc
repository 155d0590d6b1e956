#include "base/error.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace deisa {
namespace {

// Copies as much of `text` as fits in `capacity` bytes with its NUL; never splits a UTF-8
// character.
void copy_text(char* to, size_t capacity, const char* text) noexcept {
  const size_t length = std::strlen(text);
  if (length < capacity) {
    std::memcpy(to, text, length + 1);
    return;
  }
  size_t kept = capacity - 4;
  while (kept > 0 && (static_cast<unsigned char>(text[kept]) & 0xC0u) == 0x80u) --kept;
  std::memcpy(to, text, kept);
  std::memcpy(to + kept, "...", 4);
}

}  // namespace

std::string described(const Error& error) {
  // A failure that belongs to no call has no timestep.
  const bool of_call = error.is_earlier() && error.timestep() != DEISA_NO_TIMESTEP;
  return (of_call ? "an earlier call failed: " : "") + std::string(error.what());
}

deisa_status write_error(const Error& from, deisa_error* to) noexcept try {
  if (to != nullptr) {
    to->status = from.status();
    to->rank = from.rank();
    to->timestep = from.timestep();
    copy_text(to->array, sizeof(to->array), from.array().c_str());
    const std::string message = described(from);
    copy_text(to->message, sizeof(to->message), message.c_str());
    to->earlier = from.is_earlier() ? 1 : 0;
  }
  return from.status();
} catch (const std::bad_alloc&) {
  to->message[0] = '\0';
  return from.status();
}

Error read_error(deisa_status status, const deisa_error& from) {
  Error error(status, from.message);
  error.at_rank(from.rank).at_array(from.array).at_timestep(from.timestep);
  return error;
}

}  // namespace deisa
