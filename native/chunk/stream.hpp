// Copies into memory that this process does not read again soon.
#pragma once

#include <cstddef>

namespace deisa {

// From this size on a chunk is copied past the caches: what is smaller is still in them when the
// node actor reads it.
inline constexpr size_t kStreamBytes = size_t{8} << 20;

// As memcpy, with stores that bypass the caches where the processor has them. finish_stream() must
// be called before others may read `to`.
void copy_stream(void* to, const void* from, size_t bytes) noexcept;
void finish_stream() noexcept;

}  // namespace deisa
