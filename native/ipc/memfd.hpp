// Sealed memory files (memfd), and mappings of them.
#pragma once

#include <cstddef>
#include <string>

#include "base/file_descriptor.hpp"

namespace deisa {

size_t page_size() noexcept;

// `bytes` rounded up to whole pages; 0 if that does not fit in a size_t.
size_t round_to_pages(size_t bytes) noexcept;

// A close-on-exec memory file of `bytes` bytes, not yet sealed. Throws
// Error(DEISA_ERROR_RESOURCE).
FileDescriptor make_memfd(const char* name, size_t bytes);

// Fixes the size of a memory file for good: no shrinking, growing or further seals. With
// `read_only` its contents too (no writable mapping may exist then). Throws
// Error(DEISA_ERROR_RESOURCE).
void seal_memfd(int fd, bool read_only);

// The size of a memory file that somebody else made. Throws Error(DEISA_ERROR_ARGUMENT) unless it
// is ordinary shared memory that is sealed against shrinking and growing, so that reading a mapping
// of it cannot end in SIGBUS.
size_t sealed_size(int fd);

// A shared mapping of the first `bytes` bytes of a file; unmapped by the destructor. Zero bytes are
// not mapped at all.
class Mapping {
 public:
  Mapping() = default;
  // Throws Error(DEISA_ERROR_RESOURCE).
  Mapping(int fd, size_t bytes, bool writable);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { reset(); }

  std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  void reset() noexcept;

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace deisa
