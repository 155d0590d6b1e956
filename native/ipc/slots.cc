#include "ipc/slots.hpp"

#include <algorithm>
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
    shared_.emplace_back();
  }
  fd_ = make_memfd("deisa-slots", total_);
  seal_memfd(fd_.get(), false);
  mappings_ = std::make_shared<std::vector<Mapping>>();
  mappings_->emplace_back(fd_.get(), total_, true);
}

void Slots::share(uint32_t array, int fd, const wire::SharedSlots& shared) {
  check(array, 0);
  const uint64_t bytes = shared.stride * shared.count;
  if (sealed_size(fd) < bytes) {
    throw Error(DEISA_ERROR_INTERNAL,
                "the memory that ranks share has less than " + std::to_string(bytes) + " bytes");
  }
  mappings_->emplace_back(fd, bytes, true);
  shared_[array] = {mappings_->back().data(), shared, 0};
  used_[array].resize(geometry_[array].count + shared.count, false);
}

Slots::~Slots() = default;

void Slots::check(uint32_t array, uint32_t slot) const {
  if (array >= geometry_.size() || slot >= used_[array].size()) {
    throw Error(DEISA_ERROR_INTERNAL,
                "there is no slot " + std::to_string(slot) + " of array " + std::to_string(array));
  }
}

std::byte* Slots::data(uint32_t array, uint32_t slot) const {
  check(array, slot);
  if (is_shared(array, slot)) {
    const Shared& shared = shared_[array];
    return shared.data + (slot - geometry_[array].count) * shared.slots.stride;
  }
  return mappings_->front().data() + geometry_[array].offset + slot * geometry_[array].stride;
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
  if (!is_shared(array, slot)) free_[array].push_back(slot);
}

uint32_t Slots::acquire_shared(uint32_t array) {
  check(array, 0);
  Shared& shared = shared_[array];
  if (shared.slots.count == 0) return wire::kNone;
  const uint32_t slot = geometry_[array].count + shared.next;
  shared.next = (shared.next + 1) % shared.slots.count;
  if (used_[array][slot]) return wire::kNone;
  used_[array][slot] = true;
  return slot;
}

uint32_t Slots::used_slots(uint32_t array) const {
  check(array, 0);
  const std::vector<bool>& used = used_[array];
  return static_cast<uint32_t>(std::count(used.begin(), used.end(), true));
}

}  // namespace deisa
