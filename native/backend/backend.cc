#include "backend/backend.hpp"

#include <utility>

namespace deisa {
namespace {

std::vector<size_t> chunk_sizes(const std::vector<ArrayMetadata>& arrays) {
  std::vector<size_t> sizes;
  for (const ArrayMetadata& array : arrays) sizes.push_back(array.bytes);
  return sizes;
}

}  // namespace

Backend::Backend(const std::vector<ArrayMetadata>& arrays, int rank, uint32_t max_in_flight)
    : arrays_(arrays),
      rank_(rank),
      max_in_flight_(max_in_flight),
      slots_(chunk_sizes(arrays), max_in_flight + 1),
      boxes_(arrays.size()),
      loans_(arrays.size(), wire::kNone) {}

int64_t Backend::in_flight(uint32_t array) const {
  return static_cast<int64_t>(slots_.used_slots(array)) - (loans_[array] != wire::kNone ? 1 : 0);
}

void Backend::share(uint32_t array, int memfd, const wire::SharedSlots& slots, const Box& box) {
  slots_.share(array, memfd, slots);
  boxes_[array] = box;
}

// Of a chunk in shared memory: its part of the box.
Layout Backend::layout(const Prepared& chunk) const {
  const Layout& own = arrays_[chunk.array].layout;
  Layout layout = Layout::contiguous(own.dtype, own.shape);
  if (slots_.is_shared(chunk.array, chunk.slot)) {
    layout.strides = Layout::contiguous(own.dtype, boxes_[chunk.array]->shape).strides;
  }
  return layout;
}

std::byte* Backend::address(uint32_t array, uint32_t slot) const {
  std::byte* start = slots_.data(array, slot);
  if (!slots_.is_shared(array, slot)) return start;
  const std::vector<int64_t> strides = layout({array, slot}).strides;
  for (size_t d = 0; d < strides.size(); ++d) start += boxes_[array]->offset[d] * strides[d];
  return start;
}

Backend::Prepared Backend::prepare(uint32_t array, const void* data) {
  return prepare(array, data, arrays_[array].layout);
}

Backend::Prepared Backend::prepare(uint32_t array, const void* data, const Layout& layout) {
  uint32_t slot = slots_.acquire_shared(array);
  if (slot != wire::kNone) {
    const std::vector<int64_t> strides = this->layout({array, slot}).strides;
    counters_.bytes_copied +=
        static_cast<int64_t>(pack(layout, data, address(array, slot), strides));
    return {array, slot};
  }
  slot = slots_.acquire(array);
  if (slot == wire::kNone) {
    throw Error(DEISA_ERROR_INTERNAL, "no free slot after waiting for one").at_rank(rank_);
  }
  counters_.bytes_copied += static_cast<int64_t>(pack(layout, data, slots_.data(array, slot)));
  return {array, slot};
}

void Backend::discard(const Prepared& chunk) { slots_.release(chunk.array, chunk.slot); }

void* Backend::loan(uint32_t array) {
  if (!arrays_[array].layout.is_contiguous()) {
    throw Error(DEISA_ERROR_UNSUPPORTED,
                "array '" + arrays_[array].name +
                    "' was defined with a layout of its own: expected a contiguous one, as that of "
                    "a loan is")
        .at_rank(rank_)
        .at_array(arrays_[array].name);
  }
  if (loans_[array] == wire::kNone) loans_[array] = acquire_contiguous(array);
  if (loans_[array] == wire::kNone) {
    throw Error(DEISA_ERROR_INTERNAL, "no slot for a loan").at_rank(rank_);
  }
  return address(array, loans_[array]);
}

// A slot for a loan: shared memory only where the chunk's part of the box is contiguous.
uint32_t Backend::acquire_contiguous(uint32_t array) {
  if (const uint32_t slot = slots_.acquire_shared(array); slot != wire::kNone) {
    if (layout({array, slot}).is_contiguous()) return slot;
    slots_.release(array, slot);
  }
  return slots_.acquire(array);
}

Backend::Prepared Backend::exchange(uint32_t array, void** buffer) {
  if (loans_[array] == wire::kNone || *buffer != address(array, loans_[array])) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "the loan of array '" + arrays_[array].name +
                    "' is not the memory that deisa_loan, or the last send, returned")
        .at_rank(rank_)
        .at_array(arrays_[array].name);
  }
  const Prepared chunk = {array, loans_[array]};
  loans_[array] = acquire_contiguous(array);
  *buffer = loans_[array] == wire::kNone ? nullptr : address(array, loans_[array]);
  return chunk;
}

}  // namespace deisa
