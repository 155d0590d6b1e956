// Messages that are wrong in every way we could think of, and random ones. One bad rank is refused;
// the actor and the other ranks go on. The client holds against a bad actor as well.
#include <fcntl.h>
#include <sys/mman.h>

#include <memory>
#include <random>

#include "ipc/test_support.hpp"

namespace deisa::test {
namespace {

using wire::Kind;

constexpr uint64_t kPage = 65536;  // a multiple of every page size in use

FileDescriptor sealed(size_t bytes) {
  FileDescriptor memfd = make_memfd("test", bytes);
  seal_memfd(memfd.get(), false);
  return memfd;
}

size_t open_descriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

class Hostile : public ::testing::Test {
 protected:
  // One array of two slots of one page each.
  static constexpr wire::SlotGeometry kGeometry{0, kPage, 100, 2, 0};

  void greet(RawRank& rank, int memfd) {
    ASSERT_TRUE(rank.send(header(Kind::kHello, 1), hello_json(0), memfd));
    node_.expect(DEISA_NODE_HELLO);
  }
  static wire::Header define_header(uint32_t array = 0, uint64_t sequence = 2) {
    wire::Header define = header(Kind::kDefine, sequence);
    define.array = array;
    return define;
  }
  void define(RawRank& rank) {
    ASSERT_TRUE(rank.send(define_header(), bytes_of(kGeometry) + "{}"));
    node_.expect(DEISA_NODE_DEFINE);
  }
  void welcome(RawRank& rank) {
    ASSERT_TRUE(rank.send(header(Kind::kReady, 3)));
    const deisa_node_event ready = node_.expect(DEISA_NODE_READY);
    ASSERT_EQ(deisa_node_welcome(node_.get(), ready.connection, 3), DEISA_OK);
    ASSERT_NE(rank.receive(), "");
  }
  static wire::Header step_header(uint64_t sequence, int64_t timestep = 1) {
    wire::Header step = header(Kind::kStep, sequence);
    step.timestep = timestep;
    return step;
  }

  // The rank is told why, then closed; Python hears the same reason.
  void expect_refused(RawRank& rank, const std::string& reason,
                      deisa_status status = DEISA_ERROR_ARGUMENT) {
    const std::string refused = rank.receive();
    ASSERT_GE(refused.size(), sizeof(wire::Header)) << reason;
    EXPECT_EQ(rank.last().header().kind, Kind::kRefused) << reason;
    EXPECT_EQ(rank.last().header().status, status) << reason;
    EXPECT_NE(refused.find(reason), std::string::npos)
        << "expected \"" << reason << "\" in: " << refused.substr(sizeof(wire::Header));
    EXPECT_EQ(rank.receive(), "") << reason;
    const deisa_node_event lost = node_.expect(DEISA_NODE_LOST);
    EXPECT_NE(Node::text(lost).find(reason), std::string::npos) << Node::text(lost);
    EXPECT_EQ(deisa_node_release(node_.get(), lost.connection), DEISA_OK);
  }
  // Nothing is left of refused ranks, and a good one is served.
  void expect_healthy() {
    EXPECT_EQ(node_.counters().connections, 0u);
    EXPECT_EQ(node_.counters().mapped_bytes, 0u);
    RawRank rank(path_);
    greet(rank, sealed(2 * kPage).get());
    define(rank);
    welcome(rank);
    ASSERT_TRUE(rank.send(step_header(4), bytes_of({{0, 0}})));
    ASSERT_NE(rank.receive(), "");
    EXPECT_EQ(rank.last().header().kind, Kind::kReceived);
    node_.expect(DEISA_NODE_STEP);
  }

  Folder folder_;
  std::string path_ = folder_ / "s";
  Node node_{path_};
};

TEST_F(Hostile, BadFirstMessages) {
  const FileDescriptor memfd = sealed(2 * kPage);
  const auto refused = [&](const std::string& bytes, const std::string& reason) {
    RawRank rank(path_);
    ASSERT_TRUE(rank.send(bytes));
    expect_refused(rank, reason);
  };
  const auto as_bytes = [](const wire::Header& header) {
    return std::string(reinterpret_cast<const char*>(&header), sizeof(header));
  };
  refused("x", "has 1 bytes");
  refused(std::string(47, '\0'), "has 47 bytes");
  refused(std::string(48, '\0'), "magic");
  refused(std::string(wire::kMaxMessage + 1, 'x'), "larger than");
  refused(std::string(100000, 'x'), "larger than");
  wire::Header hello = header(Kind::kHello, 1);
  hello.payload = 5;
  refused(as_bytes(hello), "payload has 5 bytes, but it has 0");
  hello.payload = 0;
  refused(as_bytes(hello) + "{}", "payload has 0 bytes, but it has 2");
  for (const int kind : {2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) {
    refused(as_bytes(header(static_cast<Kind>(kind), 1)), "expected HELLO");
  }
  for (const int kind : {0, 12, 63, 64, 67, 73, 65535}) {
    refused(as_bytes(header(static_cast<Kind>(kind), 1)), "does not come from a rank");
  }
  refused(as_bytes(header(Kind::kHello, 0)), "sequence number 0");
  expect_healthy();
}

TEST_F(Hostile, BadHellos) {
  const FileDescriptor memfd = sealed(2 * kPage);
  const auto refused = [&](const std::string& json, int fd, const std::string& reason,
                           deisa_status status = DEISA_ERROR_ARGUMENT) {
    RawRank rank(path_);
    ASSERT_TRUE(rank.send(header(Kind::kHello, 1), json, fd));
    expect_refused(rank, reason, status);
  };
  for (const std::string& json :
       {std::string(), std::string("{"), std::string("[]"), std::string("7"),
        std::string("{\"bridge_id\":0,\"session\":\"\xff\"}"), std::string("{\"bridge_id\":0}{}"),
        std::string(60000, '['),
        "{\"bridge_id\":0,\"x\":" + std::string(20000, '[') + std::string(20000, ']') + "}"}) {
    refused(json, memfd.get(), "no valid JSON object");
  }
  for (const char* id : {"-1", "\"0\"", "0.5", "2147483648", "18446744073709551615", "null",
                         "-9223372036854775808"}) {
    refused(std::string("{\"bridge_id\":") + id + "}", memfd.get(), "no \"bridge_id\"");
  }
  refused("{}", memfd.get(), "no \"bridge_id\"");
  refused(hello_json(0), -1, "without the memory file");

  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  refused(hello_json(0), pipe_ends[0], "no memory file");
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
  const FileDescriptor file(::open((folder_ / "file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  refused(hello_json(0), file.get(), "memory file");
  const FileDescriptor unsealed = make_memfd("test", 2 * kPage);
  refused(hello_json(0), unsealed.get(), "not sealed against shrinking");
  ASSERT_EQ(::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
  refused(hello_json(0), unsealed.get(), "not sealed against shrinking and growing");
  const FileDescriptor unsealable(::memfd_create("test", MFD_CLOEXEC));
  refused(hello_json(0), unsealable.get(), "not sealed");
  refused(hello_json(0), sealed(wire::kMaxShared + kPage).get(), "at most", DEISA_ERROR_RESOURCE);

  RawRank old(path_);
  wire::Header hello = header(Kind::kHello, 1);
  hello.value = wire::kVersion + 1;
  ASSERT_TRUE(old.send(hello, hello_json(0), memfd.get()));
  expect_refused(old, "same version", DEISA_ERROR_UNSUPPORTED);
  RawRank twice(path_);
  greet(twice, memfd.get());
  ASSERT_TRUE(twice.send(header(Kind::kHello, 2), hello_json(0), memfd.get()));
  expect_refused(twice, "expected DEFINE or READY");
  expect_healthy();
}

TEST_F(Hostile, TwoDescriptors) {
  const FileDescriptor memfd = sealed(2 * kPage);
  const size_t before = open_descriptors();
  {
    RawRank rank(path_);
    wire::Header hello = header(Kind::kHello, 1);
    std::string payload = hello_json(0);
    hello.payload = static_cast<uint32_t>(payload.size());
    iovec pieces[] = {{&hello, sizeof(hello)}, {payload.data(), payload.size()}};
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
    msghdr message = {};
    message.msg_iov = pieces;
    message.msg_iovlen = 2;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(2 * sizeof(int));
    const int both[] = {memfd.get(), memfd.get()};
    std::memcpy(CMSG_DATA(rights), both, sizeof(both));
    ASSERT_GT(::sendmsg(rank.fd(), &message, 0), 0);
    expect_refused(rank, "more than one descriptor");
  }
  EXPECT_EQ(open_descriptors(), before);
  expect_healthy();
}

TEST_F(Hostile, BadGeometry) {
  const FileDescriptor memfd = sealed(2 * kPage);
  const auto refused = [&](const wire::SlotGeometry& geometry, const std::string& reason) {
    RawRank rank(path_);
    greet(rank, memfd.get());
    ASSERT_TRUE(rank.send(define_header(), bytes_of(geometry) + "{}"));
    expect_refused(rank, reason);
  };
  refused({0, kPage, 0, 1, 0}, "invalid slot geometry");
  refused({0, kPage, 1, 0, 0}, "invalid slot geometry");
  refused({0, kPage, 1, 1, 1}, "invalid slot geometry");
  refused({0, kPage, kPage + 1, 1, 0}, "invalid slot geometry");
  refused({1, kPage, 1, 1, 0}, "invalid slot geometry");
  refused({0, kPage + 1, 1, 1, 0}, "invalid slot geometry");
  refused({0, 0, 0, 1, 0}, "invalid slot geometry");
  refused({0, kPage, 1, 3, 0}, "past the end");
  refused({kPage, kPage, 1, 2, 0}, "past the end");
  refused({0, 3 * kPage, 1, 1, 0}, "past the end");
  refused({3 * kPage, kPage, 1, 1, 0}, "past the end");
  refused({UINT64_MAX & ~(kPage - 1), kPage, 1, 2, 0}, "past the end");
  refused({0, UINT64_MAX & ~(kPage - 1), 1, 0xFFFFFFFF, 0}, "past the end");
  refused({0, kPage, 1, 0xFFFFFFFF, 0}, "past the end");

  RawRank overlapping(path_);
  greet(overlapping, memfd.get());
  define(overlapping);
  ASSERT_TRUE(overlapping.send(define_header(1, 3), bytes_of({kPage, kPage, 1, 1, 0}) + "{}"));
  node_.expect(DEISA_NODE_DEFINE);
  ASSERT_TRUE(overlapping.send(header(Kind::kReady, 4)));
  expect_refused(overlapping, "overlap");

  // Truncated after the fact is impossible, truncated before is noticed.
  RawRank truncated(path_);
  greet(truncated, sealed(kPage).get());
  ASSERT_TRUE(truncated.send(define_header(), bytes_of(kGeometry) + "{}"));
  expect_refused(truncated, "past the end");
  RawRank empty(path_);
  greet(empty, sealed(0).get());
  ASSERT_TRUE(empty.send(define_header(), bytes_of(kGeometry) + "{}"));
  expect_refused(empty, "past the end");

  const auto bad_define = [&](const wire::Header& define, const std::string& payload,
                              const std::string& reason) {
    RawRank rank(path_);
    greet(rank, memfd.get());
    ASSERT_TRUE(rank.send(define, payload));
    expect_refused(rank, reason);
  };
  bad_define(define_header(1), bytes_of(kGeometry) + "{}", "array 0 was expected");
  bad_define(define_header(wire::kNone), bytes_of(kGeometry) + "{}", "array 0 was expected");
  bad_define(define_header(), bytes_of(kGeometry).substr(1), "too short");
  bad_define(define_header(), bytes_of(kGeometry), "no valid JSON object");
  bad_define(define_header(), bytes_of(kGeometry) + "[1]", "no valid JSON object");
  expect_healthy();
}

TEST_F(Hostile, ARankThatNeverReadsIsLostBeforeItFillsTheMemory) {
  const FileDescriptor memfd = sealed(2 * kPage);
  RawRank other(path_);
  greet(other, memfd.get());
  define(other);
  welcome(other);
  RawRank rank(path_);
  greet(rank, memfd.get());
  define(rank);
  ASSERT_TRUE(rank.send(header(Kind::kReady, 3)));
  const uint64_t connection = node_.expect(DEISA_NODE_READY).connection;
  ASSERT_EQ(deisa_node_welcome(node_.get(), connection, 3), DEISA_OK);

  const std::string text(60000, 'x');
  size_t queued = 0;
  while (queued < (size_t{256} << 20) &&
         deisa_node_notice(node_.get(), connection, DEISA_ERROR_INTERNAL, text.data(),
                           text.size()) == DEISA_OK) {
    queued += text.size();
  }
  EXPECT_GT(queued, size_t{100} << 20) << "a slow rank is waited for";
  EXPECT_LT(queued, size_t{140} << 20);
  const deisa_node_event lost = node_.expect(DEISA_NODE_LOST);
  EXPECT_EQ(lost.connection, connection);
  EXPECT_NE(Node::text(lost).find("of the node actor unread"), std::string::npos)
      << Node::text(lost);
  EXPECT_EQ(deisa_node_release(node_.get(), connection), DEISA_OK);
  // Once it reads, it is told.
  std::string message = rank.receive();
  while (!message.empty() && rank.last().header().kind != Kind::kRefused) message = rank.receive();
  EXPECT_NE(message.find("of the node actor unread"), std::string::npos);
  EXPECT_EQ(rank.receive(), "");
  // The other one does not notice.
  ASSERT_TRUE(other.send(step_header(4), bytes_of({{0, 0}})));
  ASSERT_NE(other.receive(), "");
  EXPECT_EQ(other.last().header().kind, Kind::kReceived);
  node_.expect(DEISA_NODE_STEP);
}

TEST_F(Hostile, TooManySlots) {
  RawRank rank(path_);
  const uint64_t page = page_size();
  greet(rank, sealed((wire::kMaxSlots + 1) * page).get());
  ASSERT_TRUE(rank.send(define_header(), bytes_of({0, page, 1, wire::kMaxSlots + 1, 0}) + "{}"));
  expect_refused(rank, "more than", DEISA_ERROR_RESOURCE);
  expect_healthy();
}

TEST_F(Hostile, BadShares) {
  const FileDescriptor memfd = sealed(2 * kPage);
  const auto refused = [&](wire::Header message, const wire::SharedSlots& slots,
                           const std::string& name, const std::string& reason, bool twice = false) {
    RawRank rank(path_);
    greet(rank, memfd.get());
    define(rank);
    welcome(rank);
    const std::string payload(reinterpret_cast<const char*>(&slots), sizeof(slots));
    if (twice) {
      ASSERT_TRUE(rank.send(message, payload + name));
      EXPECT_FALSE(rank.receive().empty());
      ++message.sequence;
    }
    ASSERT_TRUE(rank.send(message, payload + name));
    expect_refused(rank, reason);
  };
  wire::Header share = header(Kind::kShare, 4);
  share.array = 0;
  const uint64_t page = page_size();
  refused(share, {page, 2, 0}, "", "no name");
  refused(share, {page, 2, 0}, "t", "comes twice", true);
  refused(share, {0, 2, 0}, "t", "invalid slots");
  refused(share, {page + 1, 2, 0}, "t", "invalid slots");
  refused(share, {page, 0, 0}, "t", "invalid slots");
  refused(share, {page, 2, 1}, "t", "invalid slots");
  wire::Header other = share;
  other.array = 1;
  refused(other, {page, 2, 0}, "t", "no such array");
  RawRank rank(path_);
  greet(rank, memfd.get());
  define(rank);
  share.sequence = 3;
  const wire::SharedSlots early{page, 2, 0};
  ASSERT_TRUE(
      rank.send(share, std::string(reinterpret_cast<const char*>(&early), sizeof(early)) + "t"));
  expect_refused(rank, "SHARE may not come now");
  expect_healthy();
}

TEST_F(Hostile, BadSteps) {
  const FileDescriptor memfd = sealed(2 * kPage);
  const auto refused = [&](const wire::Header& message, const std::string& payload,
                           const std::string& reason, int fd = -1) {
    RawRank rank(path_);
    greet(rank, memfd.get());
    define(rank);
    welcome(rank);
    ASSERT_TRUE(rank.send(message, payload, fd));
    expect_refused(rank, reason);
  };
  refused(step_header(4), bytes_of({{1, 0}}), "not defined");
  refused(step_header(4), bytes_of({{0, 2}}), "not defined");
  refused(step_header(4), bytes_of({{wire::kNone, wire::kNone}}), "not defined");
  refused(step_header(4), bytes_of({{0, 0}, {0, 0}}), "still in use");
  refused(step_header(4), bytes_of({{0, 0}}).substr(1), "not a list of chunks");
  refused(step_header(4, wire::kNoTimestep), bytes_of({{0, 0}}), "no timestep");
  refused(step_header(3), {}, "sequence number 3 after 3");
  refused(step_header(4), {}, "came with a descriptor", memfd.get());
  wire::Header message = step_header(4);
  message.flags = 2;
  refused(message, {}, "unknown flags");
  message = header(Kind::kProgress, 4);
  refused(message, {}, "no timestep");
  message.timestep = 1;
  refused(message, "x", "no payload");
  message.flags = 1;
  refused(message, {}, "unknown flags");
  refused(header(Kind::kEnd, 4), {}, "no timestep");
  for (const Kind kind : {Kind::kGet, Kind::kDelete}) {
    for (const char* key : {"", "\xff", "\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                            "a\x80", "\xe0\x80\x80", "\xf0\x8f\xbf\xbf"}) {
      refused(header(kind, 4), key, "no key of UTF-8 text");
    }
  }
  message = header(Kind::kBye, 4);
  message.value = 2;
  refused(message, {}, "BYE has a value");
  message = header(Kind::kAsk, 4);
  refused(message, {}, "ASK has no timestep");
  message.timestep = 1;
  message.value = 2;
  refused(message, {}, "ASK has a value");
  // DEFINE once more is for an array that is there, of which no chunk is: it gives the size alone.
  refused(define_header(1, 4), bytes_of(kGeometry) + "{}", "there is no such array");
  refused(define_header(0, 4), bytes_of(kGeometry).substr(1), "is too short");
  refused(define_header(0, 4), bytes_of(kGeometry) + "x", "no valid JSON object");
  wire::SlotGeometry moved = kGeometry;
  moved.bytes = moved.stride + 1;
  refused(define_header(0, 4), bytes_of(moved) + "{}", "do not fit");
  moved = kGeometry;
  ++moved.count;
  refused(define_header(0, 4), bytes_of(moved) + "{}", "moves its slots");
  {
    RawRank rank(path_);
    greet(rank, memfd.get());
    define(rank);
    welcome(rank);
    ASSERT_TRUE(rank.send(step_header(4), bytes_of({{0, 0}})));
    rank.receive();  // RECEIVED
    node_.expect(DEISA_NODE_STEP);
    ASSERT_TRUE(rank.send(define_header(0, 5), bytes_of(kGeometry) + "{}"));
    expect_refused(rank, "comes after a chunk of it");
  }
  refused(header(Kind::kReady, 4), {}, "may not come now");

  RawRank reuse(path_);
  greet(reuse, memfd.get());
  define(reuse);
  welcome(reuse);
  ASSERT_TRUE(reuse.send(step_header(4), bytes_of({{0, 0}})));
  ASSERT_NE(reuse.receive(), "");
  node_.expect(DEISA_NODE_STEP);
  ASSERT_TRUE(reuse.send(step_header(5), bytes_of({{0, 0}})));
  expect_refused(reuse, "still in use");

  RawRank early(path_);
  greet(early, memfd.get());
  define(early);
  ASSERT_TRUE(early.send(header(Kind::kReady, 3)));
  node_.expect(DEISA_NODE_READY);
  ASSERT_TRUE(early.send(step_header(4), {}));
  expect_refused(early, "READY is not answered yet");
  expect_healthy();
}

// A conversation of valid messages, most of them damaged at random.
TEST_F(Hostile, Fuzz) {
  std::mt19937 random(20240607);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const FileDescriptor good = sealed(2 * kPage);
  const FileDescriptor bad = make_memfd("test", kPage);
  const size_t before = open_descriptors();
  deisa_node_receiver* const receiver = node_.get();
  size_t lost = 0;
  size_t steps = 0;
  const auto pump = [&](int timeout_ms) {
    deisa_node_event event{};
    while (deisa_node_next(receiver, &event, timeout_ms) == DEISA_OK) {
      if (event.kind == DEISA_NODE_READY) {
        deisa_node_welcome(receiver, event.connection, event.sequence);
      } else if (event.kind == DEISA_NODE_STEP) {
        ++steps;
        for (uint64_t i = 0; i < event.count; ++i) {
          const deisa_node_chunk& chunk = Node::chunks(event)[i];
          volatile const char* bytes = reinterpret_cast<const char*>(chunk.address);
          (void)bytes[0];
          (void)bytes[chunk.bytes - 1];
          if (below(2) == 0) {
            deisa_node_stored(receiver, event.connection, event.sequence, chunk.array, chunk.slot);
          }
        }
      } else if (event.kind == DEISA_NODE_LOST || event.kind == DEISA_NODE_BYE) {
        ++lost;
        EXPECT_EQ(deisa_node_release(receiver, event.connection), DEISA_OK);
        return;
      }
    }
  };
  constexpr int kMessages = 6000;
  constexpr size_t kLeast = 100;
  int messages = 0;
  // Until enough has come to every state: how many do depends on who runs when.
  const auto goes_on = [&] {
    return messages < kMessages ||
           ((steps <= kLeast || lost <= kLeast) && messages < 50 * kMessages);
  };
  while (goes_on()) {
    RawRank rank(path_);
    uint64_t sequence = 1;
    for (bool alive = true; alive && goes_on(); ++messages) {
      wire::Header message = header(static_cast<Kind>(1 + below(10)), sequence);
      // Mostly in the right order, so that the later states are reached.
      if (sequence <= 3 && below(16) != 0) message.kind = static_cast<Kind>(sequence);
      if (sequence > 3 && below(2) != 0) message.kind = Kind::kStep;
      std::string payload;
      int fd = -1;
      switch (message.kind) {
        case Kind::kHello:
          payload = hello_json(static_cast<int>(below(5)));
          fd = below(16) == 0 ? bad.get() : good.get();
          break;
        case Kind::kDefine:
          message.array = static_cast<uint32_t>(sequence - 2);
          payload = bytes_of(kGeometry) + "{}";
          break;
        case Kind::kStep: {
          message.timestep = 1;
          std::vector<wire::Item> items;
          for (uint32_t i = below(3); i > 0; --i) items.push_back({0, below(2)});
          payload = bytes_of(items);
          break;
        }
        case Kind::kGet:
        case Kind::kDelete:
          payload = "key";
          break;
        case Kind::kBye:
        case Kind::kAsk:
          message.value = below(2);
          message.timestep = 2;
          break;
        default:
          message.timestep = 2;
          break;
      }
      message.payload = static_cast<uint32_t>(payload.size());
      std::string bytes(reinterpret_cast<const char*>(&message), sizeof(message));
      bytes += payload;
      if (below(8) == 0) {
        for (uint32_t i = 1 + below(4); i > 0; --i) {
          bytes[below(static_cast<uint32_t>(bytes.size()))] = static_cast<char>(random());
        }
      }
      if (below(40) == 0) bytes.resize(below(static_cast<uint32_t>(bytes.size())) + 1);
      if (below(40) == 0) bytes.append(below(70000), static_cast<char>(random()));
      if (below(40) == 0) fd = below(2) == 0 ? bad.get() : rank.fd();
      alive = rank.send(bytes, fd);
      ++sequence;
      if (sequence == 4) {
        // Give WELCOME (or the end) a moment, so that what follows is not always too early.
        pollfd entry{rank.fd(), POLLIN, 0};
        for (int i = 0; alive && i < 200 && ::poll(&entry, 1, 0) == 0; ++i) pump(1);
      }
      pump(0);
    }
  }
  const Deadline deadline = soon();
  while (node_.counters().connections > 0 && !deadline.expired()) pump(10);
  pump(10);
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_GT(lost, kLeast);
  EXPECT_GT(steps, kLeast);
  expect_healthy();
}

TEST_F(Hostile, TheClientHoldsAgainstABadActor) {
  std::mt19937 random(7);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const std::string path = folder_ / "actor";
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const UnixAddress address(path);
  ASSERT_EQ(
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length), 0);
  ASSERT_EQ(::listen(listener.get(), 8), 0);
  const Slots slots({100}, 2);
  const FileDescriptor memfd = sealed(kPage);
  const FileDescriptor unsealed = make_memfd("test", kPage);
  const size_t before = open_descriptors();
  size_t answers = 0;
  size_t values = 0;
  size_t errors = 0;
  for (int round = 0; round < 2000; ++round) {
    Client client(path, soon());
    RawRank actor(FileDescriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
    ASSERT_TRUE(actor.send(header(Kind::kWelcome, 3)));
    client.introduce(hello_json(0), slots.fd(), definitions(slots, 1), soon());
    for (int i = 0; i < 3; ++i) {
      wire::Header message = header(static_cast<Kind>(64 + below(9)), 4);
      if (below(3) == 0) message.kind = Kind::kValue;
      if (below(2) == 0) message.array = below(2);
      if (below(2) == 0) message.slot = below(3);
      message.status = static_cast<int32_t>(below(12)) - 9;
      std::string payload(below(3) == 0 ? below(100) : 0, 'p');
      if (message.kind == Kind::kValue && below(2) == 0) message.status = DEISA_OK;
      message.value = payload.size();
      int fd = -1;
      if (below(4) == 0) {
        fd = below(4) == 0 ? unsealed.get() : below(4) == 0 ? actor.fd() : memfd.get();
        if (below(2) == 0) payload.clear();
        message.value = below(4) == 0 ? random() : kPage;
      }
      message.payload = static_cast<uint32_t>(payload.size());
      std::string bytes(reinterpret_cast<const char*>(&message), sizeof(message));
      bytes += payload;
      if (below(8) == 0) {
        bytes[below(static_cast<uint32_t>(bytes.size()))] = static_cast<char>(random());
      }
      if (below(30) == 0) bytes.resize(1 + below(static_cast<uint32_t>(bytes.size())));
      if (below(100) == 0) bytes.append(70000, 'x');
      ASSERT_TRUE(actor.send(bytes, fd));
    }
    actor.close();
    try {
      if (client.get("key", 1, soon()).found) ++values;
    } catch (const Error&) {
      ++errors;
    }
    EXPECT_THROW(
        {
          while (const std::optional<Client::Answer> answer = client.receive(soon())) {
            ++answers;
            const wire::Header& header = answer->header;
            EXPECT_TRUE(header.array == wire::kNone || header.array == 0) << header.array;
            EXPECT_TRUE(header.slot == wire::kNone || header.slot < 2) << header.slot;
          }
        },
        Error);
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_GT(answers, 100u);
  EXPECT_GT(errors, 100u);
  (void)values;
}

}  // namespace
}  // namespace deisa::test
