// The relay of a node, between real processes: who dies, stops or stays away is named to all.
#include <fstream>
#include <functional>
#include <thread>

#include "comm/gloo/testing/rank_process.hpp"
#include "comm/rank_ranges.hpp"
#include "comm/store_host.hpp"
#include "deisa/deisa.h"

namespace deisa {
namespace {

using testing::expect;
using testing::Job;
using testing::Process;

// Connections that rank 0's store has accepted.
int connections_to(int port) {
  int count = 0;
  for (const char* name : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(name);
    std::string number, local, remote, state, rest;
    while (file >> number >> local >> remote >> state && std::getline(file, rest)) {
      const size_t colon = local.rfind(':');
      if (colon == std::string::npos || state != "01") continue;
      if (std::stoi(local.substr(colon + 1), nullptr, 16) == port) ++count;
    }
  }
  return count;
}

// Five ranks on two nodes. Rank 4 never comes, unless a test starts it.
class RelayProcess : public testing::GlooTest {
 protected:
  RelayProcess() {
    job.size = 5;
    job.nodes = {"a", "b", "b", "b", "a"};
  }

  // Starts a rank, and waits until rank 0 knows of it: the first of a node is its relay.
  void start(int rank, const std::string& timeout = "50") {
    Job one = job;
    one.timeout = timeout;
    ranks[rank] = one.rank(rank);
    wait_until_known(rank);
  }
  void wait_until_known(int rank) const {
    const Deadline deadline = Deadline::after(40);
    while (!deadline.expired()) {
      const auto host = find_host("127.0.0.1", job.port);
      if (host && contains(host->attendance.came, rank)) return;
      std::this_thread::yield();
    }
    ADD_FAILURE() << "rank " << rank << " did not come";
  }
  static bool contains(const RankRanges& ranges, int rank) {
    for (const auto& [first, last] : ranges) {
      if (first <= rank && rank <= last) return true;
    }
    return false;
  }
  void start_all_but_the_last() {
    for (int rank = 0; rank < 4; ++rank) start(rank);
  }
  // Each of these ranks fails with a message that has these parts.
  void all_fail(const std::vector<int>& who, deisa_status status,
                const std::vector<std::string>& parts) {
    for (const int rank : who) {
      EXPECT_EQ(ranks[rank]->wait(), 1) << ranks[rank]->text();
      expect(ranks[rank]->text(), "ERROR " + std::to_string(status));
      expect(ranks[rank]->text(), "rank " + std::to_string(rank) + " of 5: rendezvous at ");
      for (const std::string& part : parts) expect(ranks[rank]->text(), part);
    }
  }
  std::string process(int rank) const { return "process " + std::to_string(ranks[rank]->pid()); }

  Job job;
  std::unique_ptr<Process> ranks[5];
};

TEST_F(RelayProcess, RankZeroHasOneConnectionPerNode) {
  start_all_but_the_last();
  const Deadline deadline = Deadline::after(20);
  while (connections_to(job.port) != 2 && !deadline.expired()) std::this_thread::yield();
  EXPECT_EQ(connections_to(job.port), 2);
  start(4);
  for (const auto& rank : ranks) {
    EXPECT_EQ(rank->wait(), 0) << rank->text();
    EXPECT_EQ(rank->text(), "");
  }
}

TEST_F(RelayProcess, ARelayThatDiesIsNamed) {
  start_all_but_the_last();
  const std::string relay = process(1);
  ranks[1]->signal(SIGKILL);
  EXPECT_EQ(ranks[1]->wait(), -SIGKILL);
  all_fail({2, 3}, DEISA_ERROR_COMMUNICATOR,
           {"the connection to rank 1 (" + relay + "), the relay of this node, ended"});
  all_fail({0}, DEISA_ERROR_COMMUNICATOR,
           {"rank 1 of 5 (" + relay + " at 127.0.0.1", "came and then left",
            "It was the relay of its node, for rank(s) 2-3"});
}

TEST_F(RelayProcess, AnotherRankThatDiesIsNamedToAll) {
  start_all_but_the_last();
  const std::string dead = process(3);
  ranks[3]->signal(SIGKILL);
  EXPECT_EQ(ranks[3]->wait(), -SIGKILL);
  all_fail({0, 1, 2}, DEISA_ERROR_COMMUNICATOR,
           {"rank 3 of 5 (" + dead + " at 127.0.0.1", "came and then left"});
}

TEST_F(RelayProcess, RankZeroThatDiesIsNamedToAll) {
  start_all_but_the_last();
  ranks[0]->signal(SIGKILL);
  EXPECT_EQ(ranks[0]->wait(), -SIGKILL);
  all_fail({1, 2, 3}, DEISA_ERROR_COMMUNICATOR,
           {"the connection to rank 0 ended", "rank 0 crashed, was killed, or gave up"});
}

TEST_F(RelayProcess, ARelayThatStopsIsNamed) {
  start(0);
  start(1);
  start(2, "3");
  const std::string relay = process(1);
  ranks[1]->signal(SIGSTOP);
  // One that comes then, too.
  job.timeout = "1";
  ranks[3] = job.rank(3);
  all_fail({3}, DEISA_ERROR_TIMEOUT,
           {relay + ", the relay of this node, has not answered within ", "suspended"});
  all_fail({2}, DEISA_ERROR_TIMEOUT,
           {"rank 1 (" + relay + "), the relay of this node, has stopped answering after "});
  ranks[1]->signal(SIGCONT);
  all_fail({0, 1}, DEISA_ERROR_TIMEOUT, {"rank 2 of 5 gave up: it waited ", "3 came: 0-2"});
}

TEST_F(RelayProcess, RankZeroThatStopsIsNamed) {
  start(0);
  start(1, "3");
  start(2, "4");
  ranks[0]->signal(SIGSTOP);
  all_fail({1, 2}, DEISA_ERROR_TIMEOUT, {"rank 0 has stopped answering", "suspended"});
}

// Not the relay, which answers.
TEST_F(RelayProcess, RankZeroThatStopsIsNamedByWhoeverGivesUpFirst) {
  start(0);
  start(1);
  start(2, "2");
  ranks[0]->signal(SIGSTOP);
  all_fail({2}, DEISA_ERROR_TIMEOUT, {"rank 0 has stopped answering after"});
  ranks[0]->signal(SIGCONT);
  all_fail({0, 1}, DEISA_ERROR_TIMEOUT, {"rank 2 of 5 gave up: it waited ", "3 came: 0-2"});
}

TEST_F(RelayProcess, ARankThatGivesUpEndsItForAll) {
  for (int rank = 0; rank < 3; ++rank) start(rank);
  start(3, "1");
  all_fail({0, 1, 2, 3}, DEISA_ERROR_TIMEOUT,
           {"rank 3 of 5 gave up: it waited ", "4 came: 0-3; 1 did not come: 4"});
}

TEST_F(RelayProcess, ARankWithAnotherSecretIsRefusedAlone) {
  ::setenv("DEISA_SECRET", "one", 1);
  for (int rank = 0; rank < 3; ++rank) start(rank);
  ::setenv("DEISA_SECRET", "two", 1);
  ranks[3] = job.rank(3);
  all_fail({3}, DEISA_ERROR_ARGUMENT, {"rank 0 has another secret"});
  ::setenv("DEISA_SECRET", "one", 1);
  start(3);
  start(4);
  for (const auto& rank : ranks) EXPECT_EQ(rank->wait(), 0) << rank->text();
}

TEST_F(RelayProcess, TwoProcessesOfANodeWithOneIdAreNamedToAll) {
  for (int rank = 0; rank < 4; ++rank) start(rank);
  const std::string first = process(3);
  const auto second = job.rank(3);
  const std::string two = "two processes came as rank 3 of 5: " + first;
  all_fail({0, 1, 2, 3}, DEISA_ERROR_ARGUMENT, {two, "process " + std::to_string(second->pid())});
  EXPECT_EQ(second->wait(), 1) << second->text();
  expect(second->text(), two);
}

TEST_F(RelayProcess, AnotherWorldSizeIsNamedToAll) {
  ::setenv("DEISA_SECRET", "a secret", 1);  // so that it is known to be a rank of theirs
  for (int rank = 0; rank < 3; ++rank) start(rank);
  Job other = job;
  other.size = 4;
  const auto wrong = other.rank(3);
  EXPECT_EQ(wrong->wait(), 1) << wrong->text();
  expect(wrong->text(), "the world sizes differ");
  all_fail({0, 1, 2}, DEISA_ERROR_ARGUMENT, {"the world sizes differ", "came as rank 3 of 4"});
}

TEST_F(RelayProcess, ARelayThatGivesUpBeforeTheMasterComesIsReplaced) {
  Job hasty = job;
  hasty.timeout = "1";
  const auto relay = hasty.rank(4);
  Job patient = job;
  for (int rank = 1; rank < 5; ++rank) ranks[rank] = patient.rank(rank);
  EXPECT_EQ(relay->wait(), 1) << relay->text();
  expect(relay->text(), "the master could not be reached within ");
  start(0);
  for (const auto& rank : ranks) EXPECT_EQ(rank->wait(), 0) << rank->text();
}

TEST_F(RelayProcess, TwoSimulationsOnOneMachineDoNotMix) {
  Job other;
  other.size = 5;
  other.nodes = job.nodes;
  const auto first = job.all("exchange");
  const auto second = other.all("exchange");
  for (const auto* all : {&first, &second}) {
    for (const auto& rank : *all) EXPECT_EQ(rank->wait(), 0) << rank->text();
  }
}

}  // namespace
}  // namespace deisa
