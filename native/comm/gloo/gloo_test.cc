// The Gloo communicator between real processes.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/address.hpp"
#include "base/deadline.hpp"
#include "base/file_descriptor.hpp"
#include "comm/gloo/testing/rank_process.hpp"
#include "deisa/deisa_gloo.h"

namespace deisa {
namespace {

using testing::expect;
using testing::Job;
using testing::Process;

class Gloo : public testing::GlooTest {
 protected:
  static void all_exchange(const Job& job) {
    const auto ranks = job.all("exchange");
    for (const auto& rank : ranks) {
      EXPECT_EQ(rank->wait(), 0) << rank->text();
      EXPECT_EQ(rank->text(), "") << "the simulation's output is its own";
    }
  }
};

TEST_F(Gloo, RanksExchangeStrings) {
  Job job;
  all_exchange(job);
  job.size = 7;
  all_exchange(job);  // the same port again, at once
  job.size = 2;
  all_exchange(job);
}

// Four nodes of one rank; two of two, not consecutive; one of three and one of one.
const std::vector<std::vector<std::string>> kPlacements = {
    {"a", "b", "c", "d"}, {"a", "b", "a", "b"}, {"a", "b", "b", "b"}, {"b", "b", "b", "a"}};

TEST_F(Gloo, RanksOfSeveralNodesExchangeStrings) {
  for (const auto& nodes : kPlacements) {
    Job job;
    job.nodes = nodes;
    all_exchange(job);
  }
  Job job;
  job.size = 7;
  job.nodes = {"a", "b", "c", "a", "c", "c", "a"};
  all_exchange(job);
}

TEST_F(Gloo, OneRankMeetsNobody) {
  Job job;
  job.size = 1;
  all_exchange(job);
}

TEST_F(Gloo, RanksMeetByNameAndSecret) {
  ::setenv("DEISA_SECRET", "a secret", 1);
  Job job;
  job.size = 2;
  job.address = "localhost";
  all_exchange(job);
}

// As on Debian, where a machine's own name is 127.0.1.1.
TEST_F(Gloo, RanksMeetAt127011) {
  Job job;
  job.address = "127.0.1.1";
  all_exchange(job);
}

TEST_F(Gloo, RanksMeetAtThisMachinesAddress) {
  // Any address outside, to learn which of ours routes there; the loopback one when there is none.
  const auto outside = parse_address("192.0.2.1", 0);
  const auto own = source_address(*outside);
  Job job;
  job.address = own ? own->host() : "127.0.0.1";
  all_exchange(job);
}

// Rank 0 and a neighbour see the master's name as 127.0.1.1, another rank by its real address.
TEST_F(Gloo, RanksMeetWhoseNamesResolveDifferently) {
  const auto own = source_address(*parse_address("192.0.2.1", 0));
  Job here;
  here.size = 3;
  here.address = "127.0.1.1";
  Job elsewhere = here;
  elsewhere.address = own ? own->host() : "127.0.0.1";
  const auto zero = here.rank(0, "exchange");
  const auto one = here.rank(1, "exchange");
  const auto two = elsewhere.rank(2, "exchange");
  for (const auto& rank : {&zero, &one, &two}) EXPECT_EQ((*rank)->wait(), 0) << (*rank)->text();
}

TEST_F(Gloo, ARankThatNeverComesIsNamed) {
  Job job;
  job.size = 5;
  job.timeout = "2";
  std::vector<std::unique_ptr<Process>> ranks;
  for (const int rank : {0, 1, 3}) ranks.push_back(job.rank(rank, "exchange"));
  for (const auto& rank : ranks) {
    EXPECT_EQ(rank->wait(), 1) << rank->text();
    expect(rank->text(), "ERROR " + std::to_string(DEISA_ERROR_TIMEOUT));
    expect(rank->text(), "Expected world size 5");
    expect(rank->text(), "3 came: 0-1,3; 2 did not come: 2,4");
    expect(rank->text(), "127.0.0.1:" + std::to_string(job.port));
  }
}

TEST_F(Gloo, AMasterThatNeverComesIsNamed) {
  Job job;
  job.timeout = "1";
  const auto rank = job.rank(2, "exchange");
  EXPECT_EQ(rank->wait(), 1) << rank->text();
  expect(rank->text(), "rank=2");
  expect(rank->text(), "the master could not be reached");
}

class GlooPlaced : public Gloo, public ::testing::WithParamInterface<std::vector<std::string>> {};
INSTANTIATE_TEST_SUITE_P(Nodes, GlooPlaced,
                         ::testing::Values(std::vector<std::string>{},
                                           std::vector<std::string>{"a", "b", "c", "d"},
                                           std::vector<std::string>{"a", "b", "a", "b"}));

TEST_P(GlooPlaced, ARankKilledInABarrierEndsTheBarrier) {
  Job job;
  job.nodes = GetParam();
  const auto start = Deadline::Clock::now();
  const auto ranks = job.all("dies");
  for (int rank = 0; rank < 3; ++rank) {
    const auto& process = ranks[static_cast<size_t>(rank)];
    EXPECT_EQ(process->wait(), 1) << process->text();
    expect(process->text(), "ERROR " + std::to_string(DEISA_ERROR_COMMUNICATOR));
    expect(process->text(),
           "rank " + std::to_string(rank) + " of 4: the connection to rank(s) 3 ended");
  }
  EXPECT_EQ(ranks[3]->wait(), -SIGKILL);
  EXPECT_LT(Deadline::Clock::now() - start, std::chrono::seconds(25)) << "it took the time-out";
}

// Also to a rank that comes when those who found out have gone.
TEST_P(GlooPlaced, TheRankThatDiedIsNamedToWhoeverComesLater) {
  Job job;
  job.nodes = GetParam();
  const auto ranks = job.all("late");
  for (const size_t rank : {3, 0, 1, 2}) {
    if (rank == 2) ranks[2]->end_input();
    EXPECT_EQ(ranks[rank]->wait(), rank == 3 ? -SIGKILL : 1) << ranks[rank]->text();
    if (rank < 3) expect(ranks[rank]->text(), "the connection to rank(s) 3 ended");
  }
}

TEST_P(GlooPlaced, ARankThatStaysAwayFromABarrierIsNamed) {
  Job job;
  job.nodes = GetParam();
  const auto ranks = job.all("absent");
  for (int rank = 0; rank < 3; ++rank) {
    const auto& process = ranks[static_cast<size_t>(rank)];
    EXPECT_EQ(process->wait(), 1) << process->text();
  }
  const size_t neighbour = job.nodes == std::vector<std::string>{"a", "b", "a", "b"} ? 1 : 0;
  expect(ranks[neighbour]->text(), "ERROR " + std::to_string(DEISA_ERROR_TIMEOUT));
  expect(ranks[neighbour]->text(), "timed out in the barrier, waiting for rank(s) 3");
  ranks[3]->end_input();
  EXPECT_EQ(ranks[3]->wait(), 0) << ranks[3]->text();
}

TEST_F(Gloo, DifferentCollectivesFail) {
  Job job;
  job.size = 2;
  // Rank 0 may have left its broadcast before rank 1 sees that it is none of its.
  const auto ranks = job.all("mismatch");
  ranks[0]->wait();
  EXPECT_EQ(ranks[1]->wait(), 1) << ranks[1]->text();
}

TEST_F(Gloo, DifferentSizesFail) {
  Job job;
  job.size = 2;
  // Both ranks in one process: only the C functions let them disagree on a size.
  deisa_communicator ranks[2];
  deisa_error errors[2] = {};
  deisa_status statuses[2] = {};
  const auto on_both = [](const auto& body) {
    std::thread other([&] { body(1); });
    body(0);
    other.join();
  };
  on_both([&](int rank) {
    statuses[rank] =
        deisa_gloo_open(rank, 2, "127.0.0.1", job.port, 30, &ranks[rank], &errors[rank]);
  });
  ASSERT_EQ(statuses[0], DEISA_OK) << errors[0].message;
  ASSERT_EQ(statuses[1], DEISA_OK) << errors[1].message;
  on_both([&](int rank) {
    const std::vector<char> sent(rank == 0 ? 8 : 4096);
    std::vector<char> received(rank == 0 ? 16 : 0);
    statuses[rank] = ranks[rank].gather(ranks[rank].self, sent.data(), sent.size(), received.data(),
                                        0, 1, &errors[rank]);
  });
  EXPECT_LT(statuses[0], 0);
  expect(errors[0].message, "gives another root or size");
  // The sender may have left before; it learns of it in the next call.
  statuses[1] = ranks[1].barrier(ranks[1].self, 5, &errors[1]);
  EXPECT_LT(statuses[1], 0);
  expect(errors[1].message, "gives another root or size");
  for (const auto& rank : ranks) rank.release(rank.self);
}

TEST_F(Gloo, APortInUseIsNamed) {
  Job job;
  const FileDescriptor taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(job.port));
  ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(taken.get(), 1), 0);
  const auto rank = job.rank(0, "exchange");
  EXPECT_EQ(rank->wait(), 1) << rank->text();
  expect(rank->text(), "master_port " + std::to_string(job.port));
  expect(rank->text(), "in use");
}

TEST_F(Gloo, InvalidArgumentsAreListed) {
  deisa_communicator out;
  deisa_error error;
  EXPECT_EQ(deisa_gloo_open(3, 3, "", 0, -1.0, &out, &error), DEISA_ERROR_ARGUMENT);
  expect(error.message, "rank is 3, expected 0 ... 2");
  expect(error.message, "master_address is empty");
  expect(error.message, "master_port is 0, expected 1 ... 65535");
  expect(error.message, "timeout is -1");
  EXPECT_EQ(out.self, nullptr);
  EXPECT_EQ(deisa_gloo_open(0, 1, "x", 1, 1.0, nullptr, &error), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_gloo_open(0, -1, nullptr, 1, 1.0, &out, nullptr), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_gloo_open(0, 2, "no-such-host.invalid", 29400, 60, &out, &error),
            DEISA_ERROR_ARGUMENT);
  expect(error.message, "cannot be resolved");
}

}  // namespace
}  // namespace deisa
