#include "comm/communicator.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "comm/c_table.hpp"

namespace deisa {
namespace {

const Deadline soon() { return Deadline::after(20); }

// Ranks that are threads of this process: a board on which each puts its bytes, round by round.
class Board {
 public:
  explicit Board(int size) : size_(size) {}
  int size() const { return size_; }

  // Everybody's bytes of this round, once all are there.
  std::vector<std::string> exchange(int rank, std::string bytes, const Deadline& deadline) {
    std::unique_lock<std::mutex> lock(mutex_);
    const size_t round = rounds_of_[rank]++;
    if (rounds_.size() <= round) rounds_.resize(round + 1);
    rounds_[round][rank] = std::move(bytes);
    changed_.notify_all();
    const auto complete = [&] { return static_cast<int>(rounds_[round].size()) == size_; };
    if (!changed_.wait_until(lock, deadline.time_point(), complete)) {
      throw Error(DEISA_ERROR_TIMEOUT, "a thread did not come");
    }
    std::vector<std::string> all;
    for (const auto& [from, text] : rounds_[round]) all.push_back(text);
    return all;
  }

 private:
  const int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, size_t> rounds_of_;
  std::vector<std::map<int, std::string>> rounds_;
};

class OnBoard {
 public:
  OnBoard(Board& board, int rank, bool* released = nullptr)
      : board_(board), rank_(rank), released_(released) {}
  ~OnBoard() {
    if (released_ != nullptr) *released_ = true;
  }
  int rank() const { return rank_; }
  int size() const { return board_.size(); }
  void barrier(const Deadline& deadline) { board_.exchange(rank_, "", deadline); }
  void gather(const void* sent, size_t bytes, void* received, int root, const Deadline& deadline) {
    EXPECT_EQ(received != nullptr, rank_ == root);
    const auto all =
        board_.exchange(rank_, std::string(static_cast<const char*>(sent), bytes), deadline);
    if (rank_ != root) return;
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(all[i].size(), bytes) << "ranks gather different numbers of bytes";
      std::memcpy(static_cast<char*>(received) + i * bytes, all[i].data(), bytes);
    }
  }
  void broadcast(void* data, size_t bytes, int root, const Deadline& deadline) {
    const auto all =
        board_.exchange(rank_, std::string(static_cast<const char*>(data), bytes), deadline);
    ASSERT_EQ(all[static_cast<size_t>(root)].size(), bytes);
    std::memcpy(data, all[static_cast<size_t>(root)].data(), bytes);
  }

 private:
  Board& board_;
  int rank_;
  bool* released_;
};

template <typename Body>
void on_ranks(int size, const Body& body) {
  Board board(size);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < size; ++rank) {
    ranks.emplace_back([&, rank] {
      Communicator communicator(make_table(std::make_unique<OnBoard>(board, rank)));
      body(communicator);
    });
  }
  for (auto& rank : ranks) rank.join();
}

TEST(Communicator, GathersStringsOfDifferentSizes) {
  on_ranks(4, [](Communicator& communicator) {
    for (int root = 0; root < 4; ++root) {
      const auto rank = static_cast<size_t>(communicator.rank());
      const auto all = communicator.gather(std::string(rank * 1000, 'a'), root, soon());
      if (communicator.rank() != root) {
        EXPECT_TRUE(all.empty());
        continue;
      }
      ASSERT_EQ(all.size(), 4u);
      for (size_t i = 0; i < 4; ++i) EXPECT_EQ(all[i], std::string(i * 1000, 'a'));
    }
    const auto empty = communicator.gather("", 0, soon());
    EXPECT_EQ(empty.size(), communicator.rank() == 0 ? 4u : 0u);
  });
}

TEST(Communicator, BroadcastsRootsString) {
  on_ranks(3, [](Communicator& communicator) {
    const std::string own(static_cast<size_t>(communicator.rank()) * 7, 'x');
    for (int root = 0; root < 3; ++root) {
      EXPECT_EQ(communicator.broadcast(own, root, soon()),
                std::string(static_cast<size_t>(root) * 7, 'x'));
    }
    communicator.barrier(soon());
  });
}

TEST(Communicator, SingleMeetsNobody) {
  const auto single = Communicator::single();
  EXPECT_EQ(single->rank(), 0);
  EXPECT_EQ(single->size(), 1);
  single->barrier(soon());
  EXPECT_EQ(single->gather("mine", 0, soon()), std::vector<std::string>{"mine"});
  EXPECT_EQ(single->broadcast("mine", 0, soon()), "mine");
}

TEST(Communicator, IsBrokenForGoodAfterAFailure) {
  Board board(2);
  Communicator communicator(make_table(std::make_unique<OnBoard>(board, 1)));
  try {
    communicator.barrier(Deadline::after(0.05));
    FAIL() << "nobody else came";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
    EXPECT_EQ(error.rank(), 1);
    EXPECT_STREQ(error.what(), "rank 1 of 2: barrier: a thread did not come");
  }
  try {
    communicator.broadcast("late", 1, soon());
    FAIL() << "it is broken";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_COMMUNICATOR);
    EXPECT_NE(std::string(error.what()).find("broken for good"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("a thread did not come"), std::string::npos);
  }
}

TEST(Communicator, RefusesARootOutsideWithoutBreaking) {
  const auto single = Communicator::single();
  EXPECT_THROW(single->gather("", 1, soon()), Error);
  EXPECT_THROW(single->broadcast("", -1, soon()), Error);
  single->barrier(soon());
}

TEST(Communicator, ReleasesTheTableOnce) {
  Board board(1);
  bool released = false;
  {
    Communicator communicator(make_table(std::make_unique<OnBoard>(board, 0, &released)));
  }
  EXPECT_TRUE(released);
}

std::string refusal(const deisa_communicator& table) {
  try {
    Communicator communicator(table);
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
    return error.what();
  }
  return "";
}

TEST(Communicator, RefusesInvalidTablesAndLeavesThemAlone) {
  Board board(2);
  bool released = false;
  const deisa_communicator good = make_table(std::make_unique<OnBoard>(board, 1, &released));

  deisa_communicator table = good;
  table.struct_size = 8;
  EXPECT_NE(refusal(table).find("struct_size is 8"), std::string::npos);
  table = good;
  table.gather = nullptr;
  table.rank = nullptr;
  EXPECT_NE(refusal(table).find("NULL: rank, gather"), std::string::npos);
  table = good;
  table.rank = [](void*) -> int32_t { return 2; };
  EXPECT_NE(refusal(table).find("its rank is 2, expected 0 ... 1"), std::string::npos);
  table = good;
  table.size = [](void*) -> int32_t { return 0; };
  EXPECT_NE(refusal(table).find("its size is 0"), std::string::npos);

  EXPECT_FALSE(released);
  good.release(good.self);
}

TEST(Communicator, TurnsBadBehaviourOfATableIntoErrors) {
  deisa_communicator table = {};
  table.struct_size = sizeof(table);
  table.rank = [](void*) -> int32_t { return 0; };
  table.size = [](void*) -> int32_t { return 1; };
  table.gather = [](void*, const void*, size_t, void*, int32_t, double, deisa_error*) {
    return DEISA_PENDING;
  };
  table.broadcast = [](void*, void*, size_t, int32_t, double, deisa_error*) {
    return DEISA_ERROR_CONNECTION;
  };
  table.barrier = [](void*, double, deisa_error*) -> deisa_status {
    throw std::runtime_error("from C++");
  };
  const auto message = [&](auto call) {
    Communicator communicator(table);
    try {
      call(communicator);
    } catch (const Error& error) {
      EXPECT_LT(error.status(), 0);
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message([](Communicator& c) { c.barrier(soon()); }).find("from C++"),
            std::string::npos);
  EXPECT_NE(message([](Communicator& c) { c.gather("", 0, soon()); }).find("status 4"),
            std::string::npos);
  EXPECT_NE(message([](Communicator& c) { c.broadcast("", 0, soon()); }).find("status -5"),
            std::string::npos);
}

TEST(Communicator, SaysWhatToInstallWithoutTheGlooLibrary) {
  ::setenv("DEISA_GLOO_LIBRARY", "/nowhere/libdeisa_gloo.so", 1);
  try {
    Communicator::gloo({0, 2, "127.0.0.1", 29400}, soon());
    ADD_FAILURE() << "there is no such library";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEISA_ERROR_UNSUPPORTED);
    EXPECT_NE(std::string(error.what()).find("/nowhere/libdeisa_gloo.so"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("libgloo0"), std::string::npos);
  }
  ::unsetenv("DEISA_GLOO_LIBRARY");
}

}  // namespace
}  // namespace deisa
