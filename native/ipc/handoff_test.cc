// The client against the receiver, in one process and in two.
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <future>
#include <memory>
#include <thread>

#include "ipc/test_support.hpp"

namespace deisa::test {
namespace {

class Handoff : public ::testing::Test {
 protected:
  // A client that was welcomed. The actor's part runs here, the rank's part on another thread.
  std::unique_ptr<Client> join(Node& node, const Slots& slots, size_t arrays, int bridge_id,
                               uint64_t* connection = nullptr) {
    auto client = std::make_unique<Client>(path_, soon());
    auto introduced = std::async(std::launch::async, [&] {
      client->introduce(hello_json(bridge_id), slots.fd(), definitions(slots, arrays), soon());
    });
    const uint64_t id = node.admit(arrays);
    if (connection != nullptr) *connection = id;
    introduced.get();
    return client;
  }
  static wire::Header expect(Client& client, wire::Kind kind) {
    const std::optional<Client::Answer> answer = client.receive(soon());
    if (!answer) {
      ADD_FAILURE() << "no " << kind_name(kind) << " came";
      return {};
    }
    EXPECT_EQ(kind_name(answer->header.kind), kind_name(kind)) << answer->text;
    return answer->header;
  }

  Folder folder_;
  std::string path_ = folder_ / "s";
};

// A process that runs `body` once go() is called, so that it is made before any thread is.
class Child {
 public:
  explicit Child(const std::function<void()>& body) {
    int ends[2];
    if (::pipe(ends) != 0) throw Error(DEISA_ERROR_RESOURCE, "no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::alarm(60);  // never outlives the test by much
      ::close(ends[1]);
      char start = 0;
      int status = 1;
      if (::read(ends[0], &start, 1) == 1) {
        try {
          body();
          status = 0;
        } catch (const std::exception& error) {
          std::fprintf(stderr, "child: %s\n", error.what());
        }
      }
      ::_exit(status);
    }
    ::close(ends[0]);
    go_ = FileDescriptor(ends[1]);
  }
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  void go() { EXPECT_EQ(::write(go_.get(), "g", 1), 1); }
  void signal(int number) const { ::kill(pid_, number); }
  int wait(int options = 0) {
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, options), pid_);
    if (!WIFSTOPPED(status)) pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  FileDescriptor go_;
};

TEST_F(Handoff, OneStepFromSlotToStore) {
  Node node(path_);
  Slots slots({16, 5000}, 2);
  uint64_t id = 0;
  const auto client = join(node, slots, 2, 3, &id);
  const uint32_t a = slots.acquire(0);
  const uint32_t b = slots.acquire(1);
  std::memcpy(slots.data(0, a), "0123456789abcde", 16);
  std::memset(slots.data(1, b), 7, 5000);
  const uint64_t sequence = client->send_step(11, true, {{0, a}, {1, b}}, soon());
  EXPECT_EQ(expect(*client, wire::Kind::kReceived).sequence, sequence);

  const deisa_node_event step = node.expect(DEISA_NODE_STEP);
  EXPECT_EQ(step.bridge_id, 3);
  EXPECT_EQ(step.timestep, 11);
  EXPECT_EQ(step.sequence, sequence);
  ASSERT_EQ(step.count, 2u);
  const deisa_node_chunk* chunks = Node::chunks(step);
  ASSERT_EQ(chunks[0].bytes, 16u);
  EXPECT_STREQ(reinterpret_cast<const char*>(chunks[0].address), "0123456789abcde");
  ASSERT_EQ(chunks[1].bytes, 5000u);
  EXPECT_EQ(reinterpret_cast<const char*>(chunks[1].address)[4999], 7);
  EXPECT_NE(reinterpret_cast<const std::byte*>(chunks[0].address), slots.data(0, a));

  EXPECT_EQ(deisa_node_stored(node.get(), id, sequence, 1, b), DEISA_OK);
  EXPECT_EQ(deisa_node_announced(node.get(), id, sequence, 1), DEISA_OK);
  const wire::Header stored = expect(*client, wire::Kind::kStored);
  EXPECT_EQ(stored.array, 1u);
  EXPECT_EQ(stored.slot, b);
  slots.release(stored.array, stored.slot);
  EXPECT_EQ(expect(*client, wire::Kind::kAnnounced).array, 1u);
  EXPECT_FALSE(client->poll());
  // Array 0's slot is still held, array 1's can be used again.
  client->send_step(12, false, {{1, slots.acquire(1)}}, soon());
  expect(*client, wire::Kind::kReceived);
  EXPECT_EQ(node.expect(DEISA_NODE_STEP).flags, 0u);
  client->send_step(13, true, {}, soon());  // a step may be empty
  expect(*client, wire::Kind::kReceived);
  EXPECT_EQ(node.expect(DEISA_NODE_STEP).count, 0u);
  EXPECT_EQ(node.counters().received_chunks, 3u);
  EXPECT_EQ(node.counters().received_bytes, 16u + 5000u + 5000u);
}

TEST_F(Handoff, RanksShareMemory) {
  Node node(path_);
  const wire::SharedSlots shared{page_size(), 2, 0};
  Slots slots[] = {Slots({8}, 1), Slots({8}, 1)};
  std::unique_ptr<Client> clients[2];
  uint64_t ids[2] = {};
  for (int rank = 0; rank < 2; ++rank) {
    clients[rank] = join(node, slots[rank], 1, rank, &ids[rank]);
    const FileDescriptor memory = clients[rank]->share(0, shared, "t (0)", soon());
    EXPECT_EQ(sealed_size(memory.get()), 2 * page_size());
    slots[rank].share(0, memory.get(), shared);
    ASSERT_EQ(slots[rank].acquire_shared(0), 1u);
    std::memset(slots[rank].data(0, 1) + 8 * rank, 'a' + rank, 8);
  }
  uint64_t address = 0;
  for (int rank = 0; rank < 2; ++rank) {
    const uint64_t sequence = clients[rank]->send_step(1, true, {{0, 1}}, soon());
    expect(*clients[rank], wire::Kind::kReceived);
    const deisa_node_event step = node.expect(DEISA_NODE_STEP);
    const deisa_node_chunk chunk = *Node::chunks(step);
    EXPECT_EQ(chunk.slot, 1u);
    EXPECT_EQ(chunk.bytes, 8u);
    EXPECT_EQ(chunk.shared, page_size());
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(chunk.address), 16), "aaaaaaaabbbbbbbb");
    EXPECT_EQ(chunk.address, rank > 0 ? address : chunk.address);
    address = chunk.address;
    EXPECT_EQ(deisa_node_stored(node.get(), ids[rank], sequence, 0, 1), DEISA_OK);
    EXPECT_EQ(expect(*clients[rank], wire::Kind::kStored).slot, 1u);
  }
  // The next slot, and a name that another rank gave to something else.
  clients[0]->send_step(2, true, {{0, 2}}, soon());
  expect(*clients[0], wire::Kind::kReceived);
  EXPECT_EQ(Node::chunks(node.expect(DEISA_NODE_STEP))->address, address + page_size());
  Slots others({8}, 1);
  const auto other = join(node, others, 1, 2);
  try {
    other->share(0, {page_size(), 3, 0}, "t (0)", soon());
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("another rank of this node shares it with 2 slots"),
              std::string::npos)
        << error.what();
  }
  EXPECT_NO_THROW(other->share(0, {page_size(), 3, 0}, "t (1)", soon()));
}

TEST_F(Handoff, ARankWithoutArraysCanJoin) {
  Node node(path_);
  Slots slots({}, 2);
  const auto client = join(node, slots, 0, 0);
  const uint64_t sequence = client->send_end(5, soon());
  const deisa_node_event end = node.expect(DEISA_NODE_END);
  EXPECT_EQ(deisa_node_announced(node.get(), end.connection, end.sequence, DEISA_NODE_NONE),
            DEISA_OK);
  EXPECT_EQ(expect(*client, wire::Kind::kAnnounced).sequence, sequence);
  client->send_bye(false);
  EXPECT_EQ(node.expect(DEISA_NODE_BYE).flags, 0u);
}

TEST_F(Handoff, OnlyTheStepThatHoldsASlotCanFreeIt) {
  Node node(path_);
  Slots slots({16}, 2);
  uint64_t id = 0;
  const auto client = join(node, slots, 1, 0, &id);
  const uint64_t sequence = client->send_step(1, true, {{0, 1}}, soon());
  node.expect(DEISA_NODE_STEP);
  deisa_node_receiver* const r = node.get();
  EXPECT_EQ(deisa_node_stored(r, id, sequence, 0, 0), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_node_stored(r, id, sequence + 1, 0, 1), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_node_stored(r, id, sequence, 1, 1), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_node_stored(r, id + 1, sequence, 0, 1), DEISA_ERROR_CONNECTION);
  EXPECT_EQ(deisa_node_stored(r, id, sequence, 0, 1), DEISA_OK);
  EXPECT_EQ(deisa_node_stored(r, id, sequence, 0, 1), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_node_announced(r, id, sequence, 1), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_node_welcome(r, id, sequence), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_node_release(r, id), DEISA_ERROR_ARGUMENT);
  EXPECT_EQ(deisa_node_refuse(r, id, DEISA_OK, "", 0), DEISA_ERROR_ARGUMENT);
  expect(*client, wire::Kind::kReceived);
  expect(*client, wire::Kind::kStored);
}

TEST_F(Handoff, AFailureNamesItsChunk) {
  Node node(path_);
  Slots slots({16}, 1);
  uint64_t id = 0;
  const auto client = join(node, slots, 1, 0, &id);
  const uint64_t sequence = client->send_step(4, true, {{0, 0}}, soon());
  node.expect(DEISA_NODE_STEP);
  const std::string text = "the store is full";
  // A report on the way keeps the slot; the final one frees it.
  EXPECT_EQ(deisa_node_failed(node.get(), id, sequence, 0, DEISA_NODE_NONE, DEISA_ERROR_TIMEOUT, 4,
                              text.data(), text.size()),
            DEISA_OK);
  EXPECT_EQ(deisa_node_failed(node.get(), id, sequence, 0, 0, DEISA_ERROR_RESOURCE, 4, text.data(),
                              text.size()),
            DEISA_OK);
  EXPECT_EQ(deisa_node_stored(node.get(), id, sequence, 0, 0), DEISA_ERROR_ARGUMENT);
  expect(*client, wire::Kind::kReceived);
  EXPECT_EQ(expect(*client, wire::Kind::kFailed).slot, wire::kNone);
  const std::optional<Client::Answer> failed = client->receive(soon());
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->header.slot, 0u);
  EXPECT_EQ(failed->header.timestep, 4);
  EXPECT_EQ(failed->header.status, DEISA_ERROR_RESOURCE);
  EXPECT_EQ(failed->text, text);
}

TEST_F(Handoff, FeedbackKeepsTheOrderOfOtherAnswers) {
  Node node(path_);
  Slots slots({16}, 2);
  uint64_t id = 0;
  const auto client = join(node, slots, 1, 0, &id);
  const uint64_t sequence = client->send_step(1, true, {{0, 0}}, soon());
  node.expect(DEISA_NODE_STEP);
  EXPECT_EQ(deisa_node_stored(node.get(), id, sequence, 0, 0), DEISA_OK);

  std::string large(3 << 20, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7 % 251);
  const std::string edge(wire::kMaxPayload, 'e');
  std::thread actor([&] {
    const auto reply = [&](int status, const std::string& data) {
      const deisa_node_event get = node.expect(DEISA_NODE_GET);
      EXPECT_EQ(deisa_node_value(node.get(), id, get.sequence, status, 0, data.data(), data.size()),
                DEISA_OK);
    };
    reply(DEISA_OK, "\xc3");
    reply(DEISA_OK, large);
    reply(DEISA_OK, edge);
    reply(DEISA_OK, edge + "e");
    reply(DEISA_NOT_FOUND, "");
    reply(DEISA_ERROR_CONNECTION, "no head actor");
    const deisa_node_event remove = node.expect(DEISA_NODE_DELETE);
    EXPECT_EQ(Node::text(remove), "key");
    EXPECT_EQ(deisa_node_done(node.get(), id, remove.sequence, DEISA_OK, nullptr, 0), DEISA_OK);
  });
  EXPECT_EQ(client->get("a", wire::kNoTimestep, soon()).packed, "\xc3");
  EXPECT_EQ(client->get("b", 3, soon()).packed, large);
  EXPECT_EQ(client->get("c", 3, soon()).packed, edge);
  EXPECT_EQ(client->get("d", 3, soon()).packed, edge + "e");
  EXPECT_FALSE(client->get("e", 3, soon()).found);
  const Error error = error_of([&] { client->get("f", 3, soon()); });
  EXPECT_EQ(error.status(), DEISA_ERROR_CONNECTION);
  EXPECT_STREQ(error.what(), "no head actor");
  client->remove("key", soon());
  actor.join();
  expect(*client, wire::Kind::kReceived);
  expect(*client, wire::Kind::kStored);
  EXPECT_FALSE(client->poll());
}

TEST_F(Handoff, ALateReplyIsDropped) {
  Node node(path_);
  Slots slots({}, 1);
  uint64_t id = 0;
  const auto client = join(node, slots, 0, 0, &id);
  EXPECT_EQ(error_of([&] { client->get("slow", 1, Deadline::after(0.01)); }).status(),
            DEISA_ERROR_TIMEOUT);
  const deisa_node_event slow = node.expect(DEISA_NODE_GET);
  EXPECT_EQ(deisa_node_value(node.get(), id, slow.sequence, DEISA_OK, 0, "old", 3), DEISA_OK);
  std::thread actor([&] {
    const deisa_node_event get = node.expect(DEISA_NODE_GET);
    EXPECT_EQ(deisa_node_value(node.get(), id, get.sequence, DEISA_OK, 0, "new", 3), DEISA_OK);
  });
  EXPECT_EQ(client->get("fast", 1, soon()).packed, "new");
  actor.join();
}

TEST_F(Handoff, ManyRanksInOtherProcesses) {
  constexpr int kRanks = 4;
  constexpr int kSteps = 50;
  std::vector<std::unique_ptr<Child>> ranks;
  for (int rank = 0; rank < kRanks; ++rank) {
    ranks.push_back(std::make_unique<Child>([this, rank] {
      Slots slots({sizeof(int64_t) * 100}, 2);
      Client client(path_, soon());
      client.introduce(hello_json(rank), slots.fd(), definitions(slots, 1), soon());
      int announced = 0;
      const auto handle = [&] {
        const std::optional<Client::Answer> answer = client.receive(soon());
        if (!answer) throw Error(DEISA_ERROR_TIMEOUT, "no answer");
        if (answer->header.kind == wire::Kind::kStored) slots.release(0, answer->header.slot);
        if (answer->header.kind == wire::Kind::kAnnounced) ++announced;
      };
      for (int step = 0; step < kSteps; ++step) {
        uint32_t slot = slots.acquire(0);
        while (slot == wire::kNone) {
          handle();
          slot = slots.acquire(0);
        }
        auto* data = reinterpret_cast<int64_t*>(slots.data(0, slot));
        for (int i = 0; i < 100; ++i) data[i] = rank * 1000 + step;
        client.send_step(step, true, {{0, slot}}, soon());
      }
      while (announced < kSteps) handle();
      client.send_bye(true);
    }));
  }
  Node node(path_);
  for (const auto& rank : ranks) rank->go();
  int ended = 0;
  std::vector<int64_t> next_step(kRanks, 0);
  while (ended < kRanks) {
    deisa_node_event event{};
    ASSERT_EQ(deisa_node_next(node.get(), &event, 20000), DEISA_OK);
    if (event.kind == DEISA_NODE_READY) {
      EXPECT_EQ(deisa_node_welcome(node.get(), event.connection, event.sequence), DEISA_OK);
    } else if (event.kind == DEISA_NODE_STEP) {
      EXPECT_EQ(event.timestep, next_step.at(static_cast<size_t>(event.bridge_id))++);
      const deisa_node_chunk chunk = Node::chunks(event)[0];
      const auto* data = reinterpret_cast<const int64_t*>(chunk.address);
      EXPECT_EQ(data[0], event.bridge_id * 1000 + event.timestep);
      EXPECT_EQ(data[99], data[0]);
      EXPECT_EQ(deisa_node_stored(node.get(), event.connection, event.sequence, 0, chunk.slot),
                DEISA_OK);
      EXPECT_EQ(deisa_node_announced(node.get(), event.connection, event.sequence, 0), DEISA_OK);
    } else if (event.kind == DEISA_NODE_BYE) {
      ++ended;
      EXPECT_EQ(deisa_node_release(node.get(), event.connection), DEISA_OK);
    } else {
      ASSERT_NE(event.kind, static_cast<uint32_t>(DEISA_NODE_LOST)) << Node::text(event);
    }
  }
  for (const auto& rank : ranks) EXPECT_EQ(rank->wait(), 0);
  EXPECT_EQ(node.counters().received_chunks, static_cast<uint64_t>(kRanks * kSteps));
  EXPECT_EQ(node.counters().mapped_bytes, 0u);
}

TEST_F(Handoff, ChunksOutliveTheRank) {
  constexpr size_t kBytes = 1 << 20;
  Child rank([this] {
    Slots slots({kBytes}, 3);
    Client client(path_, soon());
    client.introduce(hello_json(0), slots.fd(), definitions(slots, 1), soon());
    for (uint32_t slot = 0; slot < 3; ++slot) {
      std::memset(slots.data(0, slot), static_cast<int>('a' + slot), kBytes);
      client.send_step(slot, true, {{0, slot}}, soon());
    }
    while (!client.receive(soon())) {
    }
    ::raise(SIGKILL);  // with two of its answers unread
  });
  Node node(path_);
  rank.go();
  node.admit(1);
  EXPECT_TRUE(WIFSIGNALED(rank.wait()));
  std::vector<deisa_node_chunk> chunks;
  deisa_node_event event{};
  for (int i = 0; i < 3; ++i) {
    event = node.expect(DEISA_NODE_STEP);
    EXPECT_EQ(event.timestep, i);
    chunks.push_back(Node::chunks(event)[0]);
  }
  const uint64_t last_step = event.sequence;
  event = node.expect(DEISA_NODE_LOST);
  EXPECT_NE(Node::text(event).find("without BYE"), std::string::npos);
  EXPECT_EQ(node.counters().mapped_bytes, 3 * kBytes);
  for (size_t i = 0; i < 3; ++i) {
    const std::string expected(kBytes, static_cast<char>('a' + i));
    EXPECT_EQ(
        std::memcmp(reinterpret_cast<const void*>(chunks[i].address), expected.data(), kBytes), 0);
  }
  EXPECT_EQ(deisa_node_stored(node.get(), event.connection, last_step, 0, 2),
            DEISA_ERROR_CONNECTION);
  EXPECT_EQ(deisa_node_release(node.get(), event.connection), DEISA_OK);
  EXPECT_EQ(deisa_node_release(node.get(), event.connection), DEISA_ERROR_CONNECTION);
  EXPECT_EQ(node.counters().mapped_bytes, 0u);
  EXPECT_EQ(node.counters().connections, 0u);
}

TEST_F(Handoff, AStoppedRankHoldsUpNobody) {
  constexpr int kNotices = 20000;
  Child stopped([this] {
    Slots slots({16}, 1);
    Client client(path_, soon());
    client.introduce(hello_json(1), slots.fd(), definitions(slots, 1), soon());
    ::raise(SIGSTOP);
    for (int i = 0; i < kNotices; ++i) {
      const std::optional<Client::Answer> answer = client.receive(soon());
      if (!answer || answer->text != std::to_string(i)) throw Error(DEISA_ERROR_INTERNAL, "lost");
    }
    client.send_bye(true);
  });
  Node node(path_);
  stopped.go();
  const uint64_t id = node.admit(1);
  EXPECT_TRUE(WIFSTOPPED(stopped.wait(WUNTRACED)));
  for (int i = 0; i < kNotices; ++i) {
    const std::string text = std::to_string(i);
    ASSERT_EQ(deisa_node_notice(node.get(), id, DEISA_ERROR_TIMEOUT, text.data(), text.size()),
              DEISA_OK);
  }
  Slots slots({16}, 2);
  const auto other = join(node, slots, 1, 2);
  other->send_step(0, true, {{0, 0}}, soon());
  expect(*other, wire::Kind::kReceived);
  node.expect(DEISA_NODE_STEP);
  stopped.signal(SIGCONT);
  EXPECT_EQ(stopped.wait(), 0);
  node.expect(DEISA_NODE_BYE);
}

TEST_F(Handoff, ASlowActorFillsTheSocketAndSendsEndAtTheirDeadline) {
  Node node(path_);
  Slots slots({}, 1);
  const auto client = join(node, slots, 0, 0);
  int64_t sent = 0;
  const Error error = error_of([&] {
    for (;;) {
      client->send_progress(sent, Deadline::after(0.2));
      ++sent;
    }
  });
  EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT) << error.what();
  EXPECT_GT(sent, 1000);
  EXPECT_LE(node.counters().queued_events, 1024u);  // the actor's memory stays bounded
  // Nothing was lost, and the actor goes on when Python does.
  for (int64_t i = 0; i < sent; ++i) EXPECT_EQ(node.expect(DEISA_NODE_PROGRESS).timestep, i);
  client->send_progress(sent, soon());
  EXPECT_EQ(node.expect(DEISA_NODE_PROGRESS).timestep, sent);
}

TEST_F(Handoff, AFullSocketInBothDirectionsIsNoDeadlock) {
  Node node(path_);
  Slots slots({}, 1);
  const auto client = join(node, slots, 0, 0);
  constexpr int kSteps = 30000;  // more than both sockets and the actor's queues hold
  std::thread python([&] {
    for (int i = 0; i < kSteps; ++i) {
      if (node.expect(DEISA_NODE_STEP).timestep != i) return;
    }
  });
  for (int i = 0; i < kSteps; ++i) client->send_step(i, true, {}, soon());  // reads no answer
  for (int i = 0; i < kSteps; ++i) ASSERT_TRUE(client->receive(soon()));
  EXPECT_FALSE(client->poll());
  python.join();
}

TEST_F(Handoff, TheEndComesAfterEveryAnswer) {
  auto node = std::make_unique<Node>(path_);
  Slots slots({16}, 2);
  uint64_t id = 0;
  const auto client = join(*node, slots, 1, 0, &id);
  const uint64_t sequence = client->send_step(1, true, {{0, 0}, {0, 1}}, soon());
  node->expect(DEISA_NODE_STEP);
  EXPECT_EQ(deisa_node_stored(node->get(), id, sequence, 0, 0), DEISA_OK);
  EXPECT_EQ(deisa_node_announced(node->get(), id, sequence, 0), DEISA_OK);
  node.reset();
  // Sending notices it first, and still every answer can be read.
  EXPECT_EQ(error_of([&] { client->send_progress(2, soon()); }).status(), DEISA_ERROR_CONNECTION);
  expect(*client, wire::Kind::kReceived);
  expect(*client, wire::Kind::kStored);
  EXPECT_EQ(client->poll()->header.kind, wire::Kind::kAnnounced);
  for (int i = 0; i < 2; ++i) {
    const Error gone = error_of([&] { client->receive(soon()); });
    EXPECT_EQ(gone.status(), DEISA_ERROR_CONNECTION);
    EXPECT_NE(std::string(gone.what()).find("the node actor is gone"), std::string::npos);
  }
  EXPECT_EQ(error_of([&] { client->get("k", 1, soon()); }).status(), DEISA_ERROR_CONNECTION);
  client->send_bye(true);
}

// Enough for the actor to stop reading until Python pulls, and to leave messages in its socket.
constexpr int kMoreThanTheActorReads = 1024 + 50;

void wait_until_paused(const Node& node) {
  const Deadline deadline = soon();
  while (node.counters().queued_events < 1024) {
    ASSERT_FALSE(deadline.expired()) << node.counters().queued_events;
    std::this_thread::yield();
  }
}

// The kernel reports ECONNRESET, ahead of what can still be read, when the other end closes with
// messages unread. Neither end may take that for the end.
TEST_F(Handoff, AnswersSurviveAnActorThatClosesWithMessagesUnread) {
  Node node(path_);
  Slots slots({}, 1);
  uint64_t id = 0;
  const auto client = join(node, slots, 0, 0, &id);
  for (int i = 0; i < kMoreThanTheActorReads; ++i) client->send_progress(i, soon());
  wait_until_paused(node);
  ASSERT_EQ(deisa_node_notice(node.get(), id, DEISA_ERROR_TIMEOUT, "last words", 10), DEISA_OK);
  ASSERT_EQ(deisa_node_close(node.get(), id), DEISA_OK);
  const std::optional<Client::Answer> answer = client->receive(soon());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->text, "last words");
  EXPECT_EQ(error_of([&] { client->receive(soon()); }).status(), DEISA_ERROR_CONNECTION);
}

TEST_F(Handoff, StepsSurviveARankThatDiesWithAnswersUnread) {
  Node node(path_);
  Slots slots({}, 1);
  uint64_t id = 0;
  auto client = join(node, slots, 0, 0, &id);
  for (int i = 0; i < 10; ++i) client->send_step(i, true, {}, soon());
  for (int i = 10; i < kMoreThanTheActorReads; ++i) client->send_progress(i, soon());
  wait_until_paused(node);
  ASSERT_EQ(deisa_node_notice(node.get(), id, DEISA_ERROR_TIMEOUT, "unread", 6), DEISA_OK);
  client.reset();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(node.expect(DEISA_NODE_STEP).timestep, i);
  for (int i = 10; i < kMoreThanTheActorReads; ++i) {
    ASSERT_EQ(node.expect(DEISA_NODE_PROGRESS).timestep, i);
  }
  node.expect(DEISA_NODE_LOST);
}

TEST_F(Handoff, ARefusalIsThrownWithItsStatus) {
  Node node(path_);
  Slots slots({16}, 1);
  Client client(path_, soon());
  auto introduced = std::async(std::launch::async, [&] {
    return error_of(
        [&] { client.introduce(hello_json(0), slots.fd(), definitions(slots, 1), soon()); });
  });
  const deisa_node_event hello = node.expect(DEISA_NODE_HELLO);
  const std::string text = "bridge 0 is connected already";
  EXPECT_EQ(deisa_node_refuse(node.get(), hello.connection, DEISA_ERROR_CONTRACT, text.data(),
                              text.size()),
            DEISA_OK);
  const Error error = introduced.get();
  EXPECT_EQ(error.status(), DEISA_ERROR_CONTRACT);
  EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
}

TEST_F(Handoff, WaitsEndAtTheirDeadlineAndNameTheActor) {
  Node node(path_);
  Slots slots({16}, 1);
  Client client(path_, soon());
  const Error error = error_of([&] {
    client.introduce(hello_json(0), slots.fd(), definitions(slots, 1), Deadline::after(0.05));
  });
  EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
  EXPECT_NE(std::string(error.what()).find(path_), std::string::npos);
  EXPECT_NE(std::string(error.what()).find(": it is busy, or waits for Ray"), std::string::npos)
      << error.what();
  EXPECT_FALSE(client.receive(Deadline::after(0.01)));
}

TEST_F(Handoff, AStoppedActorIsTheReason) {
  const UnixAddress address(path_);
  Child actor([&] {
    const FileDescriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length) ||
        ::listen(socket.get(), 1) != 0) {
      throw Error(DEISA_ERROR_RESOURCE, std::strerror(errno));
    }
    ::raise(SIGSTOP);
  });
  actor.go();
  ASSERT_TRUE(WIFSTOPPED(actor.wait(WUNTRACED)));
  Client client(path_, soon());
  EXPECT_NE(client.why_stopped(), "");
  const Error error = error_of([&] { client.remove("key", Deadline::after(0.01)); });
  EXPECT_EQ(error.status(), DEISA_ERROR_TIMEOUT);
  for (const char* part :
       {"has not answered DELETE", "is stopped (state T in /proc/", "kill -CONT "}) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST_F(Handoff, ConnectingToNothingFailsAtOnce) {
  EXPECT_EQ(error_of([&] { Client client(path_, soon()); }).status(), DEISA_ERROR_CONNECTION);
  EXPECT_EQ(error_of([&] { Client client(std::string(200, 'x'), soon()); }).status(),
            DEISA_ERROR_ARGUMENT);
}

TEST_F(Handoff, TheSocketFileIsPrivateReplacedWhenStaleAndRemoved) {
  {
    Node node(path_);
    struct stat status = {};
    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    const Error live = error_of([&] { Node second(path_); });
    EXPECT_EQ(live.status(), DEISA_ERROR_CONNECTION);
    EXPECT_NE(std::string(live.what()).find("another process listens"), std::string::npos);
    EXPECT_TRUE(std::filesystem::exists(path_));
    Client works(path_, soon());
    EXPECT_TRUE(node.idle());  // a connection that says nothing is no event
  }
  EXPECT_FALSE(std::filesystem::exists(path_));

  {  // bound, and closed without being removed
    const FileDescriptor stale(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    const UnixAddress address(path_);
    ASSERT_EQ(::bind(stale.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length),
              0);
  }
  Node node(path_);
  Client works(path_, soon());

  const std::string file = folder_ / "file";
  ::close(::open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  EXPECT_EQ(error_of([&] { Node other(file); }).status(), DEISA_ERROR_ARGUMENT);
  EXPECT_TRUE(std::filesystem::exists(file));
  EXPECT_EQ(error_of([&] { Node other(folder_ / "missing/s"); }).status(), DEISA_ERROR_ARGUMENT);
}

TEST_F(Handoff, AfterStopEventsCanStillBePulled) {
  Node node(path_);
  Slots slots({16}, 1);
  const auto client = join(node, slots, 1, 0);
  std::memset(slots.data(0, 0), 'x', 16);
  client->send_step(1, true, {{0, 0}}, soon());
  expect(*client, wire::Kind::kReceived);
  deisa_node_stop(node.get());
  deisa_node_stop(node.get());
  const deisa_node_event step = node.expect(DEISA_NODE_STEP);
  EXPECT_EQ(*reinterpret_cast<const char*>(Node::chunks(step)[0].address), 'x');
  EXPECT_EQ(Node::text(node.expect(DEISA_NODE_LOST)), "the node actor stopped");
  deisa_node_event event{};
  EXPECT_EQ(deisa_node_next(node.get(), &event, -1), DEISA_ERROR_CONNECTION);
  EXPECT_EQ(deisa_node_done(node.get(), step.connection, 1, DEISA_OK, nullptr, 0),
            DEISA_ERROR_CONNECTION);
}

TEST_F(Handoff, StopEndsAWaitForEvents) {
  Node node(path_);
  auto waiting = std::async(std::launch::async, [&] {
    deisa_node_event event{};
    return deisa_node_next(node.get(), &event, -1);
  });
  deisa_node_stop(node.get());
  ASSERT_EQ(waiting.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(waiting.get(), DEISA_ERROR_CONNECTION);
}

}  // namespace
}  // namespace deisa::test
