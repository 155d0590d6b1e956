#include "comm/name_digest.hpp"

#include <cstdint>

namespace deisa {

std::string name_digest(const std::string& text) {
  std::string digits;
  for (uint64_t hash : {UINT64_C(0xcbf29ce484222325), UINT64_C(0x9ae16a3b2f90404f)}) {
    for (const char byte : text) {
      hash = (hash ^ static_cast<unsigned char>(byte)) * UINT64_C(0x100000001b3);
      hash ^= hash >> 29;
    }
    for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[hash >> shift & 15];
  }
  return digits;
}

}  // namespace deisa
