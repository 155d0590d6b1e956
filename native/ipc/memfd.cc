#include "ipc/memfd.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include "base/error.hpp"
#include "base/file_size.hpp"
#include "base/shortage.hpp"

namespace deisa {
namespace {

Error resource_error(const std::string& what, int code) {
  return Error(DEISA_ERROR_RESOURCE, what + ": " + system_text(code));
}

}  // namespace

size_t page_size() noexcept {
  static const size_t size = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

size_t round_to_pages(size_t bytes) noexcept {
  const size_t mask = page_size() - 1;
  return bytes > std::numeric_limits<size_t>::max() - mask ? 0 : (bytes + mask) & ~mask;
}

FileDescriptor make_memfd(const char* name, size_t bytes) {
  FileDescriptor fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) {
    const int reason = errno;
    const bool forbidden = reason == EPERM || reason == EACCES || reason == ENOSYS;
    throw Error(DEISA_ERROR_RESOURCE,
                "cannot create shared memory (memfd_create): " + system_text(reason) +
                    (forbidden ? ": expected Linux 3.17 or later, and a sandbox that allows "
                                 "memfd_create (deisa-info checks it)"
                               : ""));
  }
  require_size(bytes, "the memory that this rank shares");
  int failed = -1;
  errno = EFBIG;
  if (bytes <= static_cast<size_t>(std::numeric_limits<off_t>::max())) {
    do {
      failed = ::ftruncate(fd.get(), static_cast<off_t>(bytes));
    } while (failed != 0 && errno == EINTR);
  }
  if (failed != 0) {
    throw resource_error("cannot size shared memory to " + std::to_string(bytes) + " bytes", errno);
  }
  return fd;
}

void seal_memfd(int fd, bool read_only) {
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (read_only ? F_SEAL_WRITE : 0);
  if (::fcntl(fd, F_ADD_SEALS, seals) != 0)
    throw resource_error("cannot seal shared memory", errno);
}

size_t sealed_size(int fd) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  // Huge pages (hugetlbfs) may be missing when they are first read, which is a SIGBUS.
  struct statfs file_system = {};
  if (seals < 0 || ::fstatfs(fd, &file_system) != 0 || file_system.f_type != TMPFS_MAGIC) {
    throw Error(DEISA_ERROR_ARGUMENT, "the descriptor is no memory file (memfd) of ordinary pages");
  }
  if ((seals & F_SEAL_SHRINK) == 0 || (seals & F_SEAL_GROW) == 0) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "the memory file is not sealed against shrinking and growing (seals " +
                    std::to_string(seals) + ")");
  }
  struct stat status = {};
  if (::fstat(fd, &status) != 0 || status.st_size < 0) {
    throw Error(DEISA_ERROR_ARGUMENT, "the size of the memory file cannot be read");
  }
  return static_cast<size_t>(status.st_size);
}

Mapping::Mapping(int fd, size_t bytes, bool writable) {
  if (bytes == 0) return;
  void* address =
      ::mmap(nullptr, bytes, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    throw resource_error("cannot map " + std::to_string(bytes) + " bytes of shared memory", errno);
  }
  data_ = static_cast<std::byte*>(address);
  size_ = bytes;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void Mapping::reset() noexcept {
  if (data_ != nullptr) ::munmap(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

}  // namespace deisa
