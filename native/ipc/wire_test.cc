// Both ends send exactly the bytes of wire_golden.txt, and understand them.
#include <fstream>
#include <map>
#include <sstream>

#include "ipc/test_support.hpp"

namespace deisa::test {
namespace {

std::string unhex(const std::string& hex) {
  std::string bytes;
  if (hex == "-") return bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

struct Golden {
  std::string header;
  std::string payload;
  std::string all() const { return header + payload; }
};

std::map<std::string, Golden> read_golden() {
  std::map<std::string, Golden> messages;
  std::ifstream file(DEISA_WIRE_GOLDEN);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::string header;
    std::string payload;
    if (line.empty() || line[0] == '#' || !(words >> name >> header >> payload)) continue;
    messages[name] = {unhex(header), unhex(payload)};
  }
  return messages;
}

class Wire : public ::testing::Test {
 protected:
  const Golden& golden(const std::string& name) {
    EXPECT_EQ(golden_.count(name), 1u) << name;
    return golden_[name];
  }
  std::map<std::string, Golden> golden_ = read_golden();
  Folder folder_;
  std::string path_ = folder_ / "s";
};

TEST_F(Wire, HeaderFieldsLieWhereTheTableSays) {
  EXPECT_EQ(offsetof(wire::Header, magic), 0u);
  EXPECT_EQ(offsetof(wire::Header, kind), 4u);
  EXPECT_EQ(offsetof(wire::Header, flags), 6u);
  EXPECT_EQ(offsetof(wire::Header, sequence), 8u);
  EXPECT_EQ(offsetof(wire::Header, timestep), 16u);
  EXPECT_EQ(offsetof(wire::Header, array), 24u);
  EXPECT_EQ(offsetof(wire::Header, slot), 28u);
  EXPECT_EQ(offsetof(wire::Header, status), 32u);
  EXPECT_EQ(offsetof(wire::Header, payload), 36u);
  EXPECT_EQ(offsetof(wire::Header, value), 40u);
  EXPECT_EQ(offsetof(wire::SlotGeometry, count), 24u);
  EXPECT_EQ(golden("HELLO").header.substr(0, 4), "DISA");
}

TEST_F(Wire, TheClientSendsAndUnderstandsTheseBytes) {
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const UnixAddress address(path_);
  ASSERT_EQ(
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  Client client(path_, soon());
  RawRank actor(FileDescriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));

  // The answers are sent ahead, since this test has one thread.
  ASSERT_TRUE(actor.send(golden("WELCOME").all()));
  const FileDescriptor memfd = make_memfd("test", 16384);
  seal_memfd(memfd.get(), false);
  client.introduce(golden("HELLO").payload, memfd.get(),
                   {{{0, 8192, 4100, 2, 0}, "{\"name\":\"t\"}"}}, soon());
  EXPECT_EQ(client.send_step(7, true, {{0, 1}, {0, 0}}, soon()), 4u);
  client.send_progress(-8, soon());
  ASSERT_TRUE(actor.send(golden("VALUE").all()));
  const Client::Value value = client.get("schl\xc3\xbcssel", 9, soon());
  EXPECT_TRUE(value.found);
  EXPECT_EQ(value.packed, "\x93\x01\x02\x03");
  ASSERT_TRUE(actor.send(golden("DONE").all()));
  client.remove("key", soon());
  EXPECT_EQ(client.send_end(10, soon()), 8u);
  client.send_bye(true);
  for (const char* name :
       {"HELLO", "DEFINE", "READY", "STEP", "PROGRESS", "GET", "DELETE", "END", "BYE"}) {
    EXPECT_EQ(actor.receive(), golden(name).all()) << name;
    EXPECT_EQ(actor.last().has_fd(), name == std::string("HELLO"));
  }

  for (const char* name : {"RECEIVED", "STORED", "ANNOUNCED", "FAILED", "NOTICE", "REFUSED"}) {
    ASSERT_TRUE(actor.send(golden(name).all()));
  }
  for (const char* name : {"RECEIVED", "STORED", "ANNOUNCED", "FAILED", "NOTICE"}) {
    const std::optional<Client::Answer> answer = client.receive(soon());
    ASSERT_TRUE(answer);
    EXPECT_EQ(std::memcmp(&answer->header, golden(name).header.data(), sizeof(wire::Header)), 0);
    EXPECT_EQ(answer->text, golden(name).payload);
  }
  const Error refused = error_of([&] { client.receive(soon()); });
  EXPECT_EQ(refused.status(), DEISA_ERROR_CONTRACT);
  EXPECT_NE(std::string(refused.what()).find("session 1 is over"), std::string::npos);
}

TEST_F(Wire, TheClientAsksForSharedMemoryInTheseBytes) {
  const FileDescriptor memfd = make_memfd("test", 16384);
  seal_memfd(memfd.get(), false);
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const UnixAddress address(path_);
  const auto* raw = reinterpret_cast<const sockaddr*>(address.bytes);
  ASSERT_EQ(::bind(listener.get(), raw, address.length), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  Client client(path_, soon());
  RawRank actor(FileDescriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  ASSERT_TRUE(actor.send(golden("WELCOME").all()));
  client.introduce(golden("HELLO").payload, memfd.get(),
                   {{{0, 8192, 4100, 2, 0}, "{\"name\":\"t\"}"}}, soon());
  const wire::SharedSlots slots{8192, 3, 0};
  EXPECT_EQ(error_of([&] { client.share(0, slots, "t (0, 1)", Deadline::after(0.05)); }).status(),
            DEISA_ERROR_TIMEOUT);
  for (const char* name : {"HELLO", "DEFINE", "READY", "SHARE"}) {
    EXPECT_EQ(actor.receive(), golden(name).all()) << name;
  }
}

TEST_F(Wire, TheGateTravelsInTheseBytes) {
  Node node(path_);
  const FileDescriptor memfd = make_memfd("test", 16384);
  seal_memfd(memfd.get(), false);
  RawRank rank(path_);
  ASSERT_TRUE(rank.send(golden("HELLO").all(), memfd.get()));
  const uint64_t id = node.expect(DEISA_NODE_HELLO).connection;
  ASSERT_TRUE(rank.send(golden("DEFINE").all()));
  node.expect(DEISA_NODE_DEFINE);
  ASSERT_TRUE(rank.send(golden("READY").all()));
  const uint64_t ready = node.expect(DEISA_NODE_READY).sequence;
  ASSERT_EQ(deisa_node_welcome(node.get(), id, ready), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("WELCOME").all());
  ASSERT_TRUE(rank.send(golden("ASK").all()));
  const deisa_node_event ask = node.expect(DEISA_NODE_ASK);
  EXPECT_EQ(ask.timestep, 11);
  EXPECT_EQ(ask.flags, 1u);
  const std::string& reason = golden("GATE").payload;
  EXPECT_EQ(deisa_node_gate(node.get(), id, ask.sequence, 0, 10, reason.data(), reason.size()),
            DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("GATE").all());
  EXPECT_EQ(deisa_node_gate(node.get(), id, 0, 1, DEISA_NO_TIMESTEP, nullptr, 0), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("GATE_OPEN").all());
  EXPECT_EQ(deisa_node_gate(node.get(), id, 0, 2, 0, nullptr, 0), DEISA_ERROR_ARGUMENT);

  // The client's end of the same, with the answers sent ahead.
  const std::string other = folder_ / "o";
  const FileDescriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const UnixAddress address(other);
  ASSERT_EQ(
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length), 0);
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  Client client(other, soon());
  RawRank actor(FileDescriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  ASSERT_TRUE(actor.send(golden("WELCOME").all()));
  client.introduce(golden("HELLO").payload, memfd.get(),
                   {{{0, 8192, 4100, 2, 0}, "{\"name\":\"t\"}"}}, soon());
  EXPECT_TRUE(client.gate().admits(1000)) << "open at first";
  EXPECT_EQ(client.send_ask(11, true, soon()), 4u);
  for (const char* name : {"HELLO", "DEFINE", "READY", "ASK"}) {
    EXPECT_EQ(actor.receive(), golden(name).all()) << name;
  }
  ASSERT_TRUE(actor.send(golden("RECEIVED").all()));
  ASSERT_TRUE(actor.send(golden("GATE").all()));
  EXPECT_FALSE(client.poll() && client.poll()) << "GATE is no answer about data";
  EXPECT_EQ(client.gate().answered, 4u);
  EXPECT_EQ(client.gate().reason, reason);
  EXPECT_TRUE(client.gate().admits(10));
  EXPECT_FALSE(client.gate().admits(11));
  client.wait_for_gate(11, 4, soon());
  client.wait_for_gate(11, 0, Deadline::after(0.05));
  EXPECT_FALSE(client.gate().admits(11)) << "the deadline has passed";
  ASSERT_TRUE(actor.send(golden("STORED").all()));
  ASSERT_TRUE(actor.send(golden("GATE_OPEN").all()));
  client.wait_for_gate(11, 0, soon());
  EXPECT_TRUE(client.gate().admits(INT64_MAX - 1));
  const auto kept = client.poll();
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->header.kind, wire::Kind::kStored) << "kept while waiting for the gate";
}

TEST_F(Wire, TheReceiverSendsAndUnderstandsTheseBytes) {
  Node node(path_);
  RawRank rank(path_);
  const FileDescriptor memfd = make_memfd("test", 16384);
  seal_memfd(memfd.get(), false);
  ASSERT_TRUE(rank.send(golden("HELLO").all(), memfd.get()));
  deisa_node_event event = node.expect(DEISA_NODE_HELLO);
  EXPECT_EQ(event.bridge_id, 3);
  EXPECT_EQ(Node::text(event), golden("HELLO").payload);
  const uint64_t id = event.connection;
  deisa_node_receiver* const receiver = node.get();
  ASSERT_TRUE(rank.send(golden("DEFINE").all()));
  event = node.expect(DEISA_NODE_DEFINE);
  EXPECT_EQ(event.array, 0u);
  EXPECT_EQ(Node::text(event), "{\"name\":\"t\"}");
  ASSERT_TRUE(rank.send(golden("READY").all()));
  event = node.expect(DEISA_NODE_READY);
  EXPECT_EQ(deisa_node_welcome(receiver, id, event.sequence), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("WELCOME").all());
  ASSERT_TRUE(rank.send(golden("STEP").all()));
  EXPECT_EQ(rank.receive(), golden("RECEIVED").all());
  event = node.expect(DEISA_NODE_STEP);
  EXPECT_EQ(event.timestep, 7);
  EXPECT_EQ(event.flags, 1u);
  ASSERT_EQ(event.count, 2u);
  EXPECT_EQ(Node::chunks(event)[0].slot, 1u);
  EXPECT_EQ(Node::chunks(event)[0].bytes, 4100u);
  EXPECT_EQ(deisa_node_stored(receiver, id, event.sequence, 0, 1), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("STORED").all());
  EXPECT_EQ(deisa_node_announced(receiver, id, event.sequence, 0), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("ANNOUNCED").all());
  EXPECT_EQ(
      deisa_node_failed(receiver, id, event.sequence, 0, 0, DEISA_ERROR_RESOURCE, 7, "no room", 7),
      DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("FAILED").all());
  ASSERT_TRUE(rank.send(golden("PROGRESS").all()));
  EXPECT_EQ(node.expect(DEISA_NODE_PROGRESS).timestep, -8);
  ASSERT_TRUE(rank.send(golden("GET").all()));
  event = node.expect(DEISA_NODE_GET);
  EXPECT_EQ(event.timestep, 9);
  EXPECT_EQ(Node::text(event), "schl\xc3\xbcssel");
  EXPECT_EQ(deisa_node_value(receiver, id, 6, DEISA_OK, 0, "\x93\x01\x02\x03", 4), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("VALUE").all());
  EXPECT_EQ(deisa_node_value(receiver, id, 6, DEISA_NOT_FOUND, 0, nullptr, 0), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("VALUE_MISSING").all());
  const std::string large(100000, 'x');
  EXPECT_EQ(deisa_node_value(receiver, id, 6, DEISA_OK, 0, large.data(), large.size()), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("VALUE_MEMFD").all());
  EXPECT_TRUE(rank.last().has_fd());
  EXPECT_EQ(deisa_node_changed(receiver, id, DEISA_OK, "key", 3, "\x93\x01\x02", 3), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("CHANGED").all());
  EXPECT_EQ(deisa_node_changed(receiver, id, DEISA_NOT_FOUND, "key", 3, nullptr, 0), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("CHANGED_MISSING").all());
  EXPECT_EQ(deisa_node_changed(receiver, id, DEISA_ERROR_TIMEOUT, "key", 3, nullptr, 0),
            DEISA_ERROR_ARGUMENT);
  ASSERT_TRUE(rank.send(golden("DELETE").all()));
  event = node.expect(DEISA_NODE_DELETE);
  EXPECT_EQ(deisa_node_done(receiver, id, event.sequence, DEISA_OK, nullptr, 0), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("DONE").all());
  EXPECT_EQ(deisa_node_notice(receiver, id, DEISA_ERROR_TIMEOUT, "tr\xc3\xa8s tard", 10), DEISA_OK);
  EXPECT_EQ(rank.receive(), golden("NOTICE").all());
  ASSERT_TRUE(rank.send(golden("END").all()));
  EXPECT_EQ(node.expect(DEISA_NODE_END).timestep, 10);
  ASSERT_TRUE(rank.send(golden("BYE").all()));
  EXPECT_EQ(node.expect(DEISA_NODE_BYE).flags, 1u);
  EXPECT_EQ(rank.receive(), "");

  RawRank other(path_);
  ASSERT_TRUE(other.send(golden("HELLO").all(), memfd.get()));
  event = node.expect(DEISA_NODE_HELLO);
  EXPECT_EQ(
      deisa_node_refuse(receiver, event.connection, DEISA_ERROR_CONTRACT, "session 1 is over", 17),
      DEISA_OK);
  EXPECT_EQ(other.receive(), golden("REFUSED").all());
  EXPECT_EQ(other.receive(), "");
  EXPECT_EQ(Node::text(node.expect(DEISA_NODE_LOST)), "refused: session 1 is over");
}

}  // namespace
}  // namespace deisa::test
