#include "chunk/stream.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace deisa {

#if defined(__SSE2__)

namespace {

constexpr size_t kLine = 64;
// How far ahead of the copy the source is asked for; the processor's own prefetching ends with each
// row of a chunk with ghost cells.
constexpr size_t kAhead = 1024;

inline void stream_line(std::byte* to, const std::byte* from) noexcept {
  __m128i part[4];
  for (int i = 0; i < 4; ++i) {
    part[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from) + i);
  }
  for (int i = 0; i < 4; ++i) _mm_stream_si128(reinterpret_cast<__m128i*>(to) + i, part[i]);
}

}  // namespace

void copy_stream(void* to, const void* from, size_t bytes) noexcept {
  auto* destination = static_cast<std::byte*>(to);
  const auto* source = static_cast<const std::byte*>(from);
  // Whole cache lines only: a part of one would be written twice.
  const size_t misfit = reinterpret_cast<uintptr_t>(destination) % kLine;
  const size_t head = std::min(bytes, misfit == 0 ? 0 : kLine - misfit);
  std::memcpy(destination, source, head);
  size_t done = head;
  for (; done + kLine <= bytes; done += kLine) {
    // An address only, which need not be the chunk's: prefetching never faults.
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(source) + done + kAhead),
                 _MM_HINT_T0);
    stream_line(destination + done, source + done);
  }
  std::memcpy(destination + done, source + done, bytes - done);
}

void finish_stream() noexcept { _mm_sfence(); }

#else

void copy_stream(void* to, const void* from, size_t bytes) noexcept {
  std::memcpy(to, from, bytes);
}

void finish_stream() noexcept {}

#endif

}  // namespace deisa
