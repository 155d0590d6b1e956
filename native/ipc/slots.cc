#include "ipc/slots.hpp"

#include <string>

#include "base/error.hpp"

namespace deisa {
namespace {

Error too_large(size_t arrays, uint32_t slots) {
  return Error(DEISA_ERROR_RESOURCE,
               "slots for " + std::to_string(arrays) + " arrays, " + std::to_string(slots) +
                   " for each (max_in_flight), are more than the " +
                   std::to_string(wire::kMaxArrays) + " arrays, " +
                   std::to_string(wire::kMaxSlots) + " slots or " +
                   std::to_string(wire::kMaxShared) + " bytes that one rank may share");
}

}  // namespace

Slots::Slots(const std::vector<size_t>& chunk_bytes, uint32_t slots_per_array) {
  const size_t arrays = chunk_bytes.size();
  if (slots_per_array == 0) throw Error(DEISA_ERROR_INTERNAL, "an array needs at least one slot");
  if (arrays > wire::kMaxArrays || slots_per_array > wire::kMaxSlots ||
      arrays * slots_per_array > wire::kMaxSlots) {
    throw too_large(arrays, slots_per_array);
  }
  for (const size_t bytes : chunk_bytes) {
    if (bytes == 0) throw Error(DEISA_ERROR_INTERNAL, "a chunk has at least one byte");
    const size_t stride = round_to_pages(bytes);
    if (stride == 0 || stride > (wire::kMaxShared - total_) / slots_per_array) {
      throw too_large(arrays, slots_per_array);
    }
    wire::SlotGeometry geometry{};
    geometry.offset = total_;
    geometry.stride = stride;
    geometry.bytes = bytes;
    geometry.count = slots_per_array;
    geometry_.push_back(geometry);
    total_ += stride * slots_per_array;
    std::vector<uint32_t> stack;
    for (uint32_t slot = slots_per_array; slot-- > 0;) stack.push_back(slot);
    free_.push_back(std::move(stack));
    used_.emplace_back(slots_per_array, false);
  }
  fd_ = make_memfd("deisa-slots", total_);
  seal_memfd(fd_.get(), false);
  mapping_ = std::make_shared<Mapping>(fd_.get(), total_, true);
}

Slots::~Slots() = default;

void Slots::check(uint32_t array, uint32_t slot) const {
  if (array >= geometry_.size() || slot >= geometry_[array].count) {
    throw Error(DEISA_ERROR_INTERNAL,
                "there is no slot " + std::to_string(slot) + " of array " + std::to_string(array));
  }
}

std::byte* Slots::data(uint32_t array, uint32_t slot) const {
  check(array, slot);
  return mapping_->data() + geometry_[array].offset + slot * geometry_[array].stride;
}

uint32_t Slots::acquire(uint32_t array) {
  check(array, 0);
  std::vector<uint32_t>& stack = free_[array];
  if (stack.empty()) return wire::kNone;
  const uint32_t slot = stack.back();
  stack.pop_back();
  used_[array][slot] = true;
  return slot;
}

void Slots::release(uint32_t array, uint32_t slot) {
  check(array, slot);
  if (!used_[array][slot]) {
    throw Error(DEISA_ERROR_INTERNAL, "slot " + std::to_string(slot) + " of array " +
                                          std::to_string(array) + " is free already");
  }
  used_[array][slot] = false;
  free_[array].push_back(slot);
}

uint32_t Slots::free_slots(uint32_t array) const {
  check(array, 0);
  return static_cast<uint32_t>(free_[array].size());
}

}  // namespace deisa
