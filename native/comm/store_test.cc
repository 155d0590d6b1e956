// The rendezvous store, server and client, among well-behaved ranks.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "comm/refusal.hpp"
#include "comm/store_client.hpp"
#include "comm/store_host.hpp"
#include "comm/store_server.hpp"

namespace deisa {
namespace {

Deadline soon() { return Deadline::after(20); }

struct World {
  explicit World(int size, double seconds = 20, const std::string& secret = "") {
    options.size = size;
    options.master_address = "127.0.0.1";
    options.secret = secret;
    server = std::make_unique<StoreServer>(options, Deadline::after(seconds));
  }
  StoreClient::Options rank(int rank) const {
    StoreClient::Options client;
    client.rank = rank;
    client.size = options.size;
    client.master_address = "127.0.0.1";
    client.master_port = server->port();
    client.secret = options.secret;
    return client;
  }
  std::unique_ptr<StoreClient> join(int id) const {
    return std::make_unique<StoreClient>(rank(id), soon());
  }
  RankRanges came() const {
    const auto host = find_host("127.0.0.1", server->port());
    return host ? host->attendance.came : RankRanges();
  }
  StoreServer::Options options;
  std::unique_ptr<StoreServer> server;
};

// What the body throws.
template <typename Body>
Error error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return Error(DEISA_OK, "");
}

bool says(const Error& error, const std::string& text) {
  const bool found = std::string(error.what()).find(text) != std::string::npos;
  if (!found) ADD_FAILURE() << "\"" << text << "\" is not in: " << error.what();
  return found;
}

TEST(Store, RanksMeetAndExchangeValues) {
  const World world(3);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 3; ++rank) {
    ranks.emplace_back([&, rank] {
      const auto client = world.join(rank);
      EXPECT_EQ(client->rendezvous(soon()), "127.0.0.1");
      client->set("of " + std::to_string(rank), std::string(100000, static_cast<char>('a' + rank)),
                  soon());
      for (int peer = 0; peer < 3; ++peer) {
        EXPECT_EQ(client->get("of " + std::to_string(peer), soon()),
                  std::string(100000, static_cast<char>('a' + peer)));
      }
    });
  }
  for (auto& rank : ranks) rank.join();
}

TEST(Store, AValueIsWaitedFor) {
  const World world(2);
  const auto zero = world.join(0);
  const auto one = world.join(1);
  std::thread reader([&] { EXPECT_EQ(one->get("late", soon()), "here"); });
  EXPECT_EQ(to_text(world.came()), "0-1");  // a round trip, while the other waits
  zero->set("late", "here", soon());
  reader.join();
}

TEST(Store, RanksLearnWhoIsOnWhichNode) {
  const World world(4);
  std::vector<std::unique_ptr<StoreClient>> ranks;
  for (const int id : {3, 0, 1, 2}) {
    auto options = world.rank(id);
    options.node = id % 2 == 0 ? "even" : "odd";
    ranks.push_back(std::make_unique<StoreClient>(options, soon()));
  }
  for (const auto& rank : ranks) {
    rank->rendezvous(soon());
    EXPECT_EQ(rank->nodes().node_of, (std::vector<int>{0, 1, 0, 1}));
  }
}

TEST(Store, EachNodeGetsItsPartOfWhatAllNodesGive) {
  const World world(3);
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 3; ++rank) {
    ranks.emplace_back([&, rank] {
      auto options = world.rank(rank);
      options.node = std::to_string(rank);
      StoreClient client(options, soon());
      client.rendezvous(soon());
      // What place p gives to q, in parts whose size is p's own.
      const auto part = [](int from, int to) {
        return std::string(static_cast<size_t>(from) + 1, static_cast<char>('a' + to));
      };
      const auto got =
          client.exchange(rank, 3, part(rank, 0) + part(rank, 1) + part(rank, 2), soon());
      EXPECT_EQ(got, (std::vector<std::string>{part(0, rank), part(1, rank), part(2, rank)}));
    });
  }
  for (auto& rank : ranks) rank.join();
}

TEST(Store, TwoThousandRanksCheckIn) {
  constexpr int kRanks = 2000;
  rlimit files = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 2 * kRanks + 500);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  ASSERT_GE(files.rlim_cur, 2u * kRanks + 100) << "this test needs two files for each rank";

  const World world(kRanks, 60);
  std::vector<std::unique_ptr<StoreClient>> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    ranks.push_back(std::make_unique<StoreClient>(world.rank(rank), Deadline::after(60)));
    if (rank == 1000) {
      EXPECT_EQ(to_text(world.came()), "0-1000");
    }
  }
  for (const auto& rank : ranks) rank->rendezvous(Deadline::after(60));
  EXPECT_EQ(to_text(world.came()), "0-1999");
}

TEST(Store, PastTheDeadlineEveryRankLearnsWhoCame) {
  const World world(8, 0.5);
  std::vector<std::thread> ranks;
  for (const int rank : {0, 1, 2, 5}) {
    ranks.emplace_back([&, rank] {
      const auto client = world.join(rank);
      const auto start = Deadline::Clock::now();
      const Error error = error_of([&] { client->rendezvous(soon()); });
      EXPECT_LT(Deadline::Clock::now() - start, std::chrono::seconds(10));
      EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
      EXPECT_EQ(error.rank(), rank);
      says(error, "rank " + std::to_string(rank) + " of 8");
      says(error, "127.0.0.1:" + std::to_string(world.server->port()));
      says(error, "Expected world size 8");
      says(error, "4 came: 0-2,5");
      says(error, "4 did not come: 3-4,6-7");
      says(error, "crashed, was never started, or is blocked at start-up");
    });
  }
  for (auto& rank : ranks) rank.join();
}

TEST(Store, ARankWhoseOwnDeadlineEndsTellsTheOthers) {
  const World world(3);
  const auto patient = world.join(0);
  const auto hasty = world.join(2);
  std::thread waits([&] {
    const Error error = error_of([&] { patient->rendezvous(soon()); });
    EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
    says(error, "rank 2 of 3 gave up");
    says(error, "2 came: 0,2");
  });
  const Error error = error_of([&] { hasty->rendezvous(Deadline::after(0.2)); });
  EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
  says(error, "1 did not come: 1");
  waits.join();
}

// With a secret they are ranks of ours, so that no rendezvous can come of it.
TEST(Store, DifferentWorldSizesAreTold) {
  const World world(4, 20, "abc");
  const auto right = world.join(1);
  auto wrong = world.rank(2);
  wrong.size = 3;
  const Error told = error_of([&] { StoreClient(wrong, soon()); });
  EXPECT_EQ(told.status(), DEISA_ERROR_ARGUMENT);
  says(told, "process " + std::to_string(::getpid()) + " at 127.0.0.1");
  says(told, "came as rank 2 of 3");
  says(told, "expects a world size of 4");
  const Error also = error_of([&] { right->rendezvous(soon()); });
  EXPECT_EQ(also.status(), DEISA_ERROR_ARGUMENT);
  says(also, "world sizes differ");
}

TEST(Store, TwoRanksWithOneIdAreBothTold) {
  const World world(4, 20, "abc");
  const auto first = world.join(3);
  const Error second = error_of([&] { world.join(3); });
  EXPECT_EQ(second.status(), DEISA_ERROR_ARGUMENT);
  says(second, "two processes came as rank 3 of 4");
  says(error_of([&] { first->rendezvous(soon()); }), "two processes came as rank 3 of 4");
}

TEST(Store, WithoutASecretAStrangersHelloEndsNothing) {
  const World world(3, 2);
  const auto zero = world.join(0);
  const auto one = world.join(1);
  const auto refused = [&](int rank, int size, const char* why) {
    auto stranger = world.rank(rank);
    stranger.size = size;
    const Error told = error_of([&] { StoreClient(stranger, soon()); });
    EXPECT_EQ(told.status(), DEISA_ERROR_ARGUMENT);
    says(told, why);
  };
  refused(2, 4, "expects a world size of 3");
  refused(3, 3, "expects a world size of 3");
  refused(-1, 3, "expects a world size of 3");
  refused(1, 3, "two processes came as rank 1 of 3");
  EXPECT_EQ(to_text(world.came()), "0-1");
  // Who misses a rank is told of them.
  const Error error = error_of([&] { zero->rendezvous(soon()); });
  EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
  says(error, "which came as rank 2 of 4, was refused: rank 0 expects a world size of 3");
}

TEST(Store, ARankThatDiesIsNamed) {
  const World world(3);
  const auto stays = world.join(0);
  {
    const auto dies = world.join(1);
    dies->give_up("its disk is full");
  }
  const Error error = error_of([&] { stays->rendezvous(soon()); });
  EXPECT_EQ(error.status(), DEISA_ERROR_COMMUNICATOR);
  says(error, "rank 1 of 3 gave up: its disk is full");
}

TEST(Store, TheSecretKeepsOthersOut) {
  const World world(2, 20, "abc");
  for (const char* wrong : {"", "abd", "abcd", "ab"}) {
    auto stranger = world.rank(0);
    stranger.secret = wrong;
    const Error error = error_of([&] { StoreClient(stranger, soon()); });
    EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
    says(error, "DEISA_SECRET");
  }
  // They neither took the place of a rank nor ended the rendezvous.
  const auto zero = world.join(0);
  const auto one = world.join(1);
  zero->rendezvous(soon());
  one->rendezvous(soon());
}

TEST(Store, WhoWasRefusedIsNamedWhenARankIsMissed) {
  const World world(2, 0.5, "abc");
  const auto zero = world.join(0);
  auto other = world.rank(1);
  other.secret = "abd";
  says(error_of([&] { StoreClient(other, soon()); }), "rank 0 has another secret");
  const Error error = error_of([&] { zero->rendezvous(soon()); });
  EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
  says(error, "1 did not come: 1");
  says(error, "which came as rank 1 of 2, was refused: rank 0 has another secret");
}

TEST(Store, ARankThatComesTwiceCannotEndAWorldThatIsComplete) {
  const World world(2);
  const auto zero = world.join(0);
  const auto one = world.join(1);
  says(error_of([&] { world.join(1); }), "two processes came as rank 1 of 2");
  zero->rendezvous(soon());
  one->rendezvous(soon());
}

TEST(Store, WhoHostsIsToldToWhoeverAsks) {
  const World world(4);
  const int port = world.server->port();
  const auto zero = world.join(0);
  const auto three = world.join(3);
  EXPECT_EQ(who_hosts("127.0.0.1", port),
            "process " + std::to_string(::getpid()) + ", which waits for rank(s) 1-2 of 4");
  const auto host = find_host("127.0.0.1", port);
  ASSERT_TRUE(host);
  EXPECT_EQ(to_text(host->attendance.came), "0,3");
  three->give_up("a test");
  EXPECT_EQ(who_hosts("127.0.0.1", port),
            "process " + std::to_string(::getpid()) + ", which has given up");
  const int unused = [] { return World(1).server->port(); }();
  EXPECT_EQ(who_hosts("127.0.0.1", unused), "");
}

TEST(Store, ARankZeroThatHasGivenUpIsHeardAtOnce) {
  // Its port: nobody listens there; somebody who says nothing.
  const int closed = [] { return World(1).server->port(); }();
  const FileDescriptor silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto local = parse_address("127.0.0.1", 0);
  ASSERT_EQ(::bind(silent.get(), local->get(), local->length), 0);
  ASSERT_EQ(::listen(silent.get(), 5), 0);
  for (const int port : {closed, socket_address(silent.get())->port()}) {
    StoreClient::Options options;
    options.rank = 1;
    options.size = 3;
    options.master_address = "localhost";
    options.master_port = port;
    const auto start = Deadline::Clock::now();
    std::thread rank([&] {
      const Error error = error_of([&] { StoreClient(options, Deadline::after(60)); });
      EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
      EXPECT_EQ(error.rank(), 1);
      says(error, "rank 1 of 3: rendezvous at localhost:" + std::to_string(port) +
                      ": rank 0 has given up: its reason");
    });
    {
      Refusal refusal("127.0.0.1", port, 2, Error(DEISA_ERROR_ARGUMENT, "its reason"));
      refusal.wait_until_told(Deadline::after(60));
      rank.join();
    }
    EXPECT_LT(Deadline::Clock::now() - start, std::chrono::seconds(30)) << "it took the time-out";
  }
}

TEST(Store, ARankZeroThatCannotReceiveDatagramsTellsNobody) {
  const FileDescriptor taken(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto local = parse_address("127.0.0.1", 0);
  ASSERT_EQ(::bind(taken.get(), local->get(), local->length), 0);
  const Address address = *socket_address(taken.get());
  Refusal mute("127.0.0.1", address.port(), 2, Error(DEISA_ERROR_ARGUMENT, "x"));
  mute.wait_until_told(Deadline::after(60));
  RefusalQuestion question;
  question.ask(address, {{1, 1}}, 2);
  EXPECT_FALSE(question.answer(Deadline::after(0.05)));
}

TEST(Store, LocalhostIsReachedInBothFamilies) {
  for (const char* name : {"localhost", "LocalHost", "[::1]", "::1"}) {
    StoreServer::Options options;
    options.size = 4;
    options.master_address = name;
    const StoreServer server(options, soon());
    for (const char* place : {"127.0.0.1", "::1", "[::1]"}) {
      if (name[0] != 'l' && name[0] != 'L' && place[0] == '1') continue;
      StoreClient::Options client;
      client.rank = place[0] == '1' ? 1 : place[0] == ':' ? 2 : 3;
      client.size = 4;
      client.master_address = place;
      client.master_port = server.port();
      StoreClient(client, soon()).set("x", "", soon());
    }
  }
}

TEST(Store, APortInUseIsNamed) {
  const World world(1);
  auto options = world.options;
  options.port = world.server->port();
  for (const char* address : {"127.0.0.1", "some-host"}) {
    options.master_address = address;
    const Error error = error_of([&] { StoreServer(options, soon()); });
    EXPECT_EQ(error.status(), DEISA_ERROR_COMMUNICATOR);
    says(error, "master_port " + std::to_string(options.port));
    says(error, "in use by another simulation, whose rank 0 is process " +
                    std::to_string(::getpid()) + ", which waits for rank(s) 0 of 1");
  }
}

TEST(Store, TooFewOpenFilesEndTheRendezvousAtOnce) {
  // Rank 0 in a process of its own: a hard limit cannot be raised again.
  int told[2];
  ASSERT_EQ(::pipe2(told, O_CLOEXEC), 0);
  const pid_t host = ::fork();
  if (host == 0) {
    ::alarm(60);
    const rlimit few = {64, 64};
    if (::setrlimit(RLIMIT_NOFILE, &few) != 0) std::_Exit(2);
    const World world(1000, 60);
    const int port = world.server->port();
    if (::write(told[1], &port, sizeof(port)) != sizeof(port)) std::_Exit(3);
    ::pause();
  }
  StoreClient::Options options;
  options.size = 1000;
  options.master_address = "127.0.0.1";
  ASSERT_EQ(::read(told[0], &options.master_port, sizeof(int)), static_cast<ssize_t>(sizeof(int)));
  auto first = std::make_unique<StoreClient>(options, soon());
  std::thread others([&, options]() mutable {
    std::vector<std::unique_ptr<StoreClient>> ranks;
    const Error error = error_of([&] {
      for (options.rank = 1; options.rank < 100; ++options.rank) {
        ranks.push_back(std::make_unique<StoreClient>(options, soon()));
      }
    });
    EXPECT_EQ(error.status(), DEISA_ERROR_RESOURCE);
    says(error, "rank 0 cannot accept more than ");
    EXPECT_GT(ranks.size(), 20u);
  });
  const Error error = error_of([&] { first->rendezvous(soon()); });
  EXPECT_EQ(error.status(), DEISA_ERROR_RESOURCE);
  says(error, "hard limit of open files is 64; raise it (ulimit -Hn");
  first.reset();  // which lets the next one in, to be told
  others.join();
  ::kill(host, SIGKILL);
  EXPECT_EQ(::waitpid(host, nullptr, 0), host);
  ::close(told[0]);
  ::close(told[1]);
}

TEST(Store, AMasterThatIsNotThereCannotBeReached) {
  auto options = [] {
    const World world(2);
    return world.rank(1);  // of a server that has ended
  }();
  const Error error = error_of([&] { StoreClient(options, Deadline::after(0.3)); });
  EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
  says(error, "rank 1 of 2");
  says(error, "the master could not be reached");
  says(error, "127.0.0.1:" + std::to_string(options.master_port));
  says(error, "Connection refused");
}

TEST(Store, AMasterThatComesLateIsFound) {
  StoreServer::Options options;
  options.size = 2;
  options.master_address = "127.0.0.1";
  options.port = [] { return World(1).server->port(); }();
  std::unique_ptr<StoreServer> server;
  StoreClient::Options client;
  client.rank = 1;
  client.size = 2;
  client.master_address = "127.0.0.1";
  client.master_port = options.port;
  std::thread rank([&] { StoreClient(client, soon()).set("x", "", soon()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // some attempts fail
  server = std::make_unique<StoreServer>(options, soon());
  rank.join();
}

TEST(Store, AnUnknownMasterFailsFast) {
  StoreClient::Options options;
  options.master_address = "no-such-host.invalid";
  options.master_port = 29400;
  const auto start = Deadline::Clock::now();
  const Error error = error_of([&] { StoreClient(options, Deadline::after(60)); });
  EXPECT_EQ(error.status(), DEISA_ERROR_ARGUMENT);
  says(error, "\"no-such-host.invalid\" cannot be resolved");
  EXPECT_LT(Deadline::Clock::now() - start, std::chrono::seconds(30));
}

TEST(Store, ANameWithin127IsReachedByOtherAddresses) {
  // As on Debian, where the machine's own name is 127.0.1.1.
  StoreServer::Options options;
  options.size = 2;
  options.master_address = "127.0.1.1";
  const StoreServer server(options, soon());
  for (const char* address : {"127.0.1.1", "127.0.0.1"}) {
    StoreClient::Options client;
    client.rank = address[6] - '0';
    client.size = 2;
    client.master_address = address;
    client.master_port = server.port();
    StoreClient(client, soon()).set("x", "", soon());
  }
}

// An address of this machine that others could reach; the loopback one when there is no network.
std::string outside_address() {
  const auto source = source_address(*parse_address("192.0.2.1", 0));
  return source ? source->host() : "127.0.0.1";
}

TEST(Store, RanksLearnWhereTheMasterIsReached) {
  StoreServer::Options options;
  options.size = 2;
  options.master_address = "127.0.1.1";
  const StoreServer server(options, soon());
  StoreClient::Options client;
  client.size = 2;
  client.master_address = "127.0.1.1";
  client.master_port = server.port();
  StoreClient zero(client, soon());
  client.rank = 1;
  client.master_address = outside_address();
  StoreClient one(client, soon());
  // Other machines cannot use 127.0.1.1, by which rank 0 came.
  EXPECT_EQ(zero.rendezvous(soon()), outside_address());
  EXPECT_EQ(reachable_address(zero.local_address(), outside_address()).host(), outside_address());
}

TEST(RankRanges, AreShort) {
  EXPECT_EQ(to_text({}), "none");
  EXPECT_EQ(to_text({{0, 3}, {7, 7}}), "0-3,7");
  EXPECT_EQ(to_text(missing_ranks({{0, 3}, {7, 7}}, 10)), "4-6,8-9");
  EXPECT_EQ(to_text(missing_ranks({}, 1)), "0");
  EXPECT_EQ(to_text(missing_ranks({{0, 4}}, 5)), "none");
  std::vector<bool> every_other(4000);
  for (size_t i = 0; i < every_other.size(); i += 2) every_other[i] = true;
  const std::string text = to_text(rank_ranges(every_other));
  EXPECT_LT(text.size(), 1100u);
  EXPECT_NE(text.find(" more"), std::string::npos);
}

}  // namespace
}  // namespace deisa
