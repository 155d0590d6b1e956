// What a process holds after many bridges: descriptors, mappings, memory, threads.
#include <dirent.h>
#include <malloc.h>

#include <cstring>
#include <fstream>
#include <string>

#include "bridge/testing/fake_node.hpp"
#include "bridge/testing/rank.hpp"

namespace deisa::testing {
namespace {

int entries(const char* folder) {
  DIR* const open = ::opendir(folder);
  int count = 0;
  while (::readdir(open) != nullptr) ++count;
  ::closedir(open);
  return count;
}

struct Held {
  int descriptors = entries("/proc/self/fd");
  int threads = entries("/proc/self/task");
  int memfds = 0;  // mappings of them
  int mappings = 0;
  size_t bytes = ::mallinfo2().uordblks;

  Held() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line); ++mappings) {
      if (line.find("memfd:") != std::string::npos) ++memfds;
    }
  }
};

// Every way in which a bridge holds or hands out memory, ended by close, abandon or in the middle
// of a step.
void live(Rank& rank, int number) {
  ASSERT_EQ(rank.open(), DEISA_OK) << rank.message();
  ASSERT_EQ(rank.define("t"), DEISA_OK);
  ASSERT_EQ(rank.define("u"), DEISA_OK);
  ASSERT_EQ(rank.ready(), DEISA_OK) << rank.message();
  void* buffer = nullptr;
  ASSERT_EQ(deisa_loan(rank.bridge, "t", &buffer, nullptr, &rank.error), DEISA_OK);
  std::memset(buffer, 1, 48);
  ArrowArray lent, step;
  ArrowSchema of_lent, of_step;
  ASSERT_EQ(deisa_export(rank.bridge, "t", &lent, &of_lent, &rank.error), DEISA_OK);
  ASSERT_EQ(send_from(rank.bridge, "t", loan(&buffer), 0, nullptr, &rank.error), DEISA_OK);
  ASSERT_EQ(rank.send("u", 1, 0), DEISA_OK);
  deisa_request request = 0;
  ASSERT_EQ(send_from(rank.bridge, "t", loan(&buffer), 1, &request, &rank.error), DEISA_OK);
  ASSERT_EQ(rank.begin(2), DEISA_OK);
  ASSERT_EQ(rank.put("u", 2), DEISA_OK);
  ASSERT_EQ(deisa_export(rank.bridge, nullptr, &step, &of_step, &rank.error), DEISA_OK);
  if (number % 3 != 2) {
    ASSERT_EQ(rank.end(), DEISA_OK);
  }
  if (number % 3 == 0) {
    ASSERT_EQ(rank.close(3), DEISA_OK) << rank.message();
  } else {
    deisa_abandon(&rank.bridge);
  }
  lent.release(&lent);
  of_lent.release(&of_lent);
  step.release(&step);
  of_step.release(&of_step);
}

TEST(LeakTest, AThousandBridgesLeaveNothingBehind) {
  constexpr int kWarm = 50, kBridges = 1000;
  FakeNode node;
  node.keep_nothing();
  set_node("", &node);
  Rank rank;
  rank.options.error_mode = DEISA_ERRORS_RETURN;
  for (int i = 0; i < kWarm; ++i) live(rank, i);
  ASSERT_TRUE(node.wait_until_left(kWarm));
  const Held before;
  for (int i = 0; i < kBridges && !HasFailure(); ++i) live(rank, i);
  ASSERT_TRUE(node.wait_until_left(kWarm + kBridges));
  const Held after;
  EXPECT_LE(after.descriptors, before.descriptors);
  EXPECT_LE(after.threads, before.threads);
  EXPECT_LE(after.memfds, before.memfds);
  EXPECT_LE(after.mappings, before.mappings + 4) << "malloc's arenas may grow";
  // The smallest block that malloc has, for each bridge, would be 32000 bytes.
  EXPECT_LE(after.bytes, before.bytes + 16000);
}

}  // namespace
}  // namespace deisa::testing
