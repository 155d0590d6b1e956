#include "capi/msgpack_depth.hpp"

#include <cstdint>
#include <vector>

namespace deisa {
namespace {

class Walk {
 public:
  explicit Walk(std::string_view packed) : rest_(packed) {}

  bool at_end() const { return rest_.empty(); }
  void skip(uint64_t bytes) {
    rest_.remove_prefix(bytes < rest_.size() ? static_cast<size_t>(bytes) : rest_.size());
  }
  // Big-endian.
  uint64_t number(size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && i < rest_.size(); ++i) {
      value = value << 8 | static_cast<unsigned char>(rest_[i]);
    }
    skip(bytes);
    return value;
  }

 private:
  std::string_view rest_;
};

// Goes on to the next value. Returns how many values the one that was passed has in it.
uint64_t pass(Walk& walk) {
  const auto type = static_cast<unsigned>(walk.number(1));
  const auto bytes_of = [type](unsigned first) { return size_t{1} << (type - first); };
  if (type >= 0x80 && type <= 0x8f) return 2 * (type & 0xfu);
  if (type >= 0x90 && type <= 0x9f) return type & 0xfu;
  if (type >= 0xdc && type <= 0xdd) return walk.number(2 * bytes_of(0xdc));
  if (type >= 0xde && type <= 0xdf) return 2 * walk.number(2 * bytes_of(0xde));
  if (type >= 0xa0 && type <= 0xbf) walk.skip(type & 0x1fu);                     // text
  if (type >= 0xc4 && type <= 0xc6) walk.skip(walk.number(bytes_of(0xc4)));      // bytes
  if (type >= 0xc7 && type <= 0xc9) walk.skip(walk.number(bytes_of(0xc7)) + 1);  // extension
  if (type >= 0xca && type <= 0xcb) walk.skip(4 * bytes_of(0xca));               // float
  if (type >= 0xcc && type <= 0xcf) walk.skip(bytes_of(0xcc));                   // unsigned
  if (type >= 0xd0 && type <= 0xd3) walk.skip(bytes_of(0xd0));                   // integer
  if (type >= 0xd4 && type <= 0xd8) walk.skip(bytes_of(0xd4) + 1);               // extension
  if (type >= 0xd9 && type <= 0xdb) walk.skip(walk.number(bytes_of(0xd9)));      // text
  return 0;
}

}  // namespace

bool is_at_most_deep(std::string_view packed, size_t most) {
  Walk walk(packed);
  std::vector<uint64_t> left = {1};  // values, in each list and map that is open
  while (!walk.at_end()) {
    while (!left.empty() && left.back() == 0) left.pop_back();
    if (left.empty()) return true;
    --left.back();
    const uint64_t inside = pass(walk);
    if (inside == 0) continue;
    left.push_back(inside);
    if (left.size() > most + 1) return false;
  }
  return true;
}

}  // namespace deisa
