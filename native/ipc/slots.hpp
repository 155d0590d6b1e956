// A rank's slots: shared memory (a sealed memfd) that the rank writes and the node actor reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/file_descriptor.hpp"
#include "ipc/memfd.hpp"
#include "ipc/wire.hpp"

namespace deisa {

// Not thread-safe: the bridge serialises its calls.
class Slots {
 public:
  // `chunk_bytes[i]` (> 0) is the size of one chunk of array i; each array gets `slots_per_array`
  // slots (> 0). No array at all is allowed. The memfd is close-on-exec and sealed against
  // shrinking, growing and further seals. Pages are touched when first written. Throws
  // Error(DEISA_ERROR_RESOURCE), also when the limits of wire.hpp are passed.
  Slots(const std::vector<size_t>& chunk_bytes, uint32_t slots_per_array);
  ~Slots();
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;

  // From here on the array has slots in memory that several ranks of the node share, too: each rank
  // has a part of each slot. `fd` stays the caller's. Throws as the constructor does.
  void share(uint32_t array, int fd, const wire::SharedSlots& shared);

  int fd() const noexcept { return fd_.get(); }
  size_t total_bytes() const noexcept { return total_; }
  const wire::SlotGeometry& geometry(uint32_t array) const { return geometry_.at(array); }
  // Page-aligned, geometry(array).bytes long, valid as long as this object; of a shared slot, the
  // whole of it. Throws Error(DEISA_ERROR_INTERNAL) if there is no such slot.
  std::byte* data(uint32_t array, uint32_t slot) const;
  // Keeps every slot mapped, also after this object has gone.
  std::shared_ptr<const void> memory() const { return mappings_; }
  bool is_shared(uint32_t array, uint32_t slot) const { return slot >= geometry_.at(array).count; }

  // A free slot of the array, or wire::kNone. acquire() marks it used, release() free. The slot
  // that was released last is acquired first: its pages exist and may still be in the cache.
  // Throw Error(DEISA_ERROR_INTERNAL) if there is no such array or slot, or it is free already.
  uint32_t acquire(uint32_t array);
  void release(uint32_t array, uint32_t slot);
  // The shared slot whose turn it is, so that ranks that send alike have the same ones; wire::kNone if
  // the array has none, or that one is not free: then it is the next one's turn.
  uint32_t acquire_shared(uint32_t array);
  uint32_t used_slots(uint32_t array) const;

 private:
  void check(uint32_t array, uint32_t slot) const;

  struct Shared {
    std::byte* data = nullptr;
    wire::SharedSlots slots{};
    uint32_t next = 0;
  };

  FileDescriptor fd_;
  std::shared_ptr<std::vector<Mapping>> mappings_;  // the own memory, and what is shared
  size_t total_ = 0;
  std::vector<wire::SlotGeometry> geometry_;
  std::vector<std::vector<uint32_t>> free_;  // a stack for each array
  std::vector<std::vector<bool>> used_;      // the shared ones last
  std::vector<Shared> shared_;
};

}  // namespace deisa
