// A rank's slots: shared memory (a sealed memfd) that the rank writes and the node actor reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/file_descriptor.hpp"
#include "handoff/wire.hpp"

namespace deisa {

class Slots {
 public:
  // `chunk_bytes[i]` is the size of one chunk of array i; each array gets `slots_per_array` slots.
  // The memfd is close-on-exec and sealed against shrinking, growing and further seals. Pages are
  // touched when first written. Throws Error(DEISA_ERROR_RESOURCE).
  Slots(const std::vector<size_t>& chunk_bytes, uint32_t slots_per_array);
  ~Slots();
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  int fd() const noexcept { return fd_.get(); }
  size_t total_bytes() const noexcept { return total_; }
  const wire::SlotGeometry& geometry(uint32_t array) const { return geometry_.at(array); }
  std::byte* data(uint32_t array, uint32_t slot) const;

  // A free slot of the array, or wire::kNone. acquire() marks it used, release() free.
  uint32_t acquire(uint32_t array);
  void release(uint32_t array, uint32_t slot);
  uint32_t free_slots(uint32_t array) const;

 private:
  FileDescriptor fd_;
  std::byte* base_ = nullptr;
  size_t total_ = 0;
  std::vector<wire::SlotGeometry> geometry_;
  std::vector<std::vector<uint32_t>> free_;
};

}  // namespace deisa
