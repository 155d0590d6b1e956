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
      loans_(arrays.size(), wire::kNone) {}

int64_t Backend::in_flight(uint32_t array) const {
  const int64_t used = static_cast<int64_t>(max_in_flight_) + 1 - slots_.free_slots(array);
  return used - (loans_[array] != wire::kNone ? 1 : 0);
}

Backend::Prepared Backend::prepare(uint32_t array, const void* data) {
  return prepare(array, data, arrays_[array].layout);
}

Backend::Prepared Backend::prepare(uint32_t array, const void* data, const Layout& layout) {
  const uint32_t slot = slots_.acquire(array);
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
  if (loans_[array] == wire::kNone) loans_[array] = slots_.acquire(array);
  if (loans_[array] == wire::kNone) {
    throw Error(DEISA_ERROR_INTERNAL, "no slot for a loan").at_rank(rank_);
  }
  return slots_.data(array, loans_[array]);
}

Backend::Prepared Backend::exchange(uint32_t array, void** buffer) {
  if (loans_[array] == wire::kNone || *buffer != slots_.data(array, loans_[array])) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "the loan of array '" + arrays_[array].name +
                    "' is not the memory that deisa_loan, or the last send, returned")
        .at_rank(rank_)
        .at_array(arrays_[array].name);
  }
  const Prepared chunk = {array, loans_[array]};
  loans_[array] = slots_.acquire(array);
  *buffer = loans_[array] == wire::kNone ? nullptr : slots_.data(array, loans_[array]);
  return chunk;
}

}  // namespace deisa
