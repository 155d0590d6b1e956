#include "ipc/slots.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/error.hpp"

namespace deisa {
namespace {

TEST(Slots, LieOnPagesWithoutOverlap) {
  const Slots slots({1, 4096, 4097}, 2);
  const size_t page = page_size();
  EXPECT_EQ(slots.total_bytes(),
            2 * (round_to_pages(1) + round_to_pages(4096) + round_to_pages(4097)));
  size_t expected = 0;
  for (uint32_t array = 0; array < 3; ++array) {
    const wire::SlotGeometry& geometry = slots.geometry(array);
    EXPECT_EQ(geometry.offset, expected);
    EXPECT_EQ(geometry.stride % page, 0u);
    EXPECT_GE(geometry.stride, geometry.bytes);
    EXPECT_EQ(geometry.count, 2u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(slots.data(array, 1)) % page, 0u);
    EXPECT_EQ(slots.data(array, 1) - slots.data(array, 0), static_cast<long>(geometry.stride));
    expected += geometry.stride * geometry.count;
  }
}

TEST(Slots, AreSealedAndCloseOnExec) {
  const Slots slots({4096}, 1);
  EXPECT_EQ(::fcntl(slots.fd(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_NE(::fcntl(slots.fd(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::ftruncate(slots.fd(), 0), 0);
  EXPECT_EQ(sealed_size(slots.fd()), slots.total_bytes());
}

TEST(Slots, AreSharedMemory) {
  const Slots slots({10}, 2);
  const Mapping other(slots.fd(), slots.total_bytes(), false);
  std::memcpy(slots.data(0, 1), "0123456789", 10);
  EXPECT_EQ(std::memcmp(other.data() + slots.geometry(0).stride, "0123456789", 10), 0);
}

TEST(Slots, TakeNoMemoryBeforeTheyAreWritten) {
  const Slots slots({size_t{1} << 30}, 4);
  struct stat status = {};
  ASSERT_EQ(::fstat(slots.fd(), &status), 0);
  EXPECT_EQ(status.st_blocks, 0);
}

TEST(Slots, TheLastReleasedIsAcquiredFirst) {
  Slots slots({8, 8}, 3);
  EXPECT_EQ(slots.acquire(0), 0u);
  EXPECT_EQ(slots.acquire(0), 1u);
  EXPECT_EQ(slots.used_slots(0), 2u);
  EXPECT_EQ(slots.used_slots(1), 0u);
  slots.release(0, 0);
  EXPECT_EQ(slots.acquire(0), 0u);
  EXPECT_EQ(slots.acquire(0), 2u);
  EXPECT_EQ(slots.acquire(0), wire::kNone);
  slots.release(0, 1);
  slots.release(0, 2);
  EXPECT_EQ(slots.acquire(0), 2u);
  EXPECT_EQ(slots.acquire(0), 1u);
}

TEST(Slots, SharedOnesComeInTurn) {
  Slots slots({8}, 2);
  EXPECT_EQ(slots.acquire_shared(0), wire::kNone);
  const size_t page = page_size();
  const FileDescriptor memory = make_memfd("test", 3 * page);
  EXPECT_THROW(slots.share(0, memory.get(), {page, 3}), Error);  // not sealed
  seal_memfd(memory.get(), false);
  EXPECT_THROW(slots.share(0, memory.get(), {page, 4}), Error);
  slots.share(0, memory.get(), {page, 3});
  for (const uint32_t slot : {2u, 3u, 4u}) {
    EXPECT_EQ(slots.acquire_shared(0), slot);
    EXPECT_TRUE(slots.is_shared(0, slot));
  }
  EXPECT_EQ(slots.data(0, 4) - slots.data(0, 2), static_cast<long>(2 * page));
  EXPECT_EQ(slots.acquire(0), 0u) << "its own";
  EXPECT_EQ(slots.used_slots(0), 4u);
  slots.release(0, 3);
  EXPECT_EQ(slots.acquire_shared(0), wire::kNone)
      << "it is the turn of the first, which is not free";
  EXPECT_EQ(slots.acquire_shared(0), 3u);
  EXPECT_THROW(slots.data(0, 5), Error);
  const Mapping other(memory.get(), 3 * page, false);
  std::memcpy(slots.data(0, 3), "abc", 3);
  EXPECT_EQ(std::memcmp(other.data() + page, "abc", 3), 0);
}

TEST(Slots, RefuseWhatDoesNotExist) {
  Slots slots({8}, 2);
  slots.acquire(0);
  EXPECT_THROW(slots.release(0, 1), Error);  // free already
  EXPECT_THROW(slots.release(0, 2), Error);
  EXPECT_THROW(slots.release(1, 0), Error);
  EXPECT_THROW(slots.acquire(1), Error);
  EXPECT_THROW(slots.data(0, 2), Error);
  EXPECT_THROW(slots.data(wire::kNone, wire::kNone), Error);
  EXPECT_NO_THROW(slots.release(0, 0));
}

TEST(Slots, AreBounded) {
  const auto status = [](const std::vector<size_t>& bytes, uint32_t count) {
    try {
      Slots slots(bytes, count);
    } catch (const Error& error) {
      return error.status();
    }
    return DEISA_OK;
  };
  EXPECT_EQ(status({SIZE_MAX}, 1), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(status({SIZE_MAX / 2, SIZE_MAX / 2}, 2), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(status({wire::kMaxShared / 2 + 1}, 2), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(status({8}, wire::kMaxSlots + 1), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(status(std::vector<size_t>(wire::kMaxArrays + 1, 8), 1), DEISA_ERROR_RESOURCE);
  EXPECT_EQ(status({}, 2), DEISA_OK);
}

TEST(Memfd, OnlySealedOrdinaryMemoryIsTaken) {
  EXPECT_THROW(sealed_size(STDIN_FILENO), Error);
  EXPECT_THROW(sealed_size(-1), Error);
  const FileDescriptor open = make_memfd("test", 4096);
  EXPECT_THROW(sealed_size(open.get()), Error);
  ASSERT_EQ(::fcntl(open.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_THROW(sealed_size(open.get()), Error);
  ASSERT_EQ(::fcntl(open.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
  EXPECT_EQ(sealed_size(open.get()), 4096u);
}

}  // namespace
}  // namespace deisa
