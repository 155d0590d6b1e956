// What the tests of this room share: a folder, the node actor's end, and a bare socket.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "ipc/client.hpp"
#include "ipc/node.h"
#include "ipc/packet.hpp"
#include "ipc/slots.hpp"
#include "ipc/wire.hpp"

namespace deisa::test {

// Long enough for a busy machine; a passing test never waits for it.
inline Deadline soon() { return Deadline::after(20); }

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/deisa-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Owns a receiver, through the functions that Python uses.
class Node {
 public:
  explicit Node(const std::string& path) {
    char message[1024];
    const int status = deisa_node_open(path.c_str(), &receiver_, message, sizeof(message));
    if (status != DEISA_OK) throw Error(static_cast<deisa_status>(status), message);
  }
  ~Node() { deisa_node_destroy(receiver_); }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  deisa_node_receiver* get() const { return receiver_; }

  // The next event, which must come and be of this kind.
  deisa_node_event expect(deisa_node_event_kind kind) {
    deisa_node_event event{};
    const int status = deisa_node_next(receiver_, &event, 20000);
    EXPECT_EQ(status, DEISA_OK) << "waiting for event " << kind;
    EXPECT_EQ(event.kind, static_cast<uint32_t>(kind)) << text(event);
    return event;
  }
  bool idle() {
    deisa_node_event event{};
    return deisa_node_next(receiver_, &event, 0) == DEISA_PENDING;
  }
  deisa_node_counters counters() const {
    deisa_node_counters counters{};
    deisa_node_get_counters(receiver_, &counters);
    return counters;
  }
  // HELLO, DEFINE for each array, READY; answered with WELCOME. Returns the connection.
  uint64_t admit(size_t arrays) {
    expect(DEISA_NODE_HELLO);
    for (size_t i = 0; i < arrays; ++i) expect(DEISA_NODE_DEFINE);
    const deisa_node_event ready = expect(DEISA_NODE_READY);
    EXPECT_EQ(deisa_node_welcome(receiver_, ready.connection, ready.sequence), DEISA_OK);
    return ready.connection;
  }

  static std::string text(const deisa_node_event& event) {
    if (event.kind == DEISA_NODE_STEP) return "(chunks)";
    return {static_cast<const char*>(event.payload), event.count};
  }
  static const deisa_node_chunk* chunks(const deisa_node_event& event) {
    return static_cast<const deisa_node_chunk*>(event.payload);
  }

 private:
  deisa_node_receiver* receiver_ = nullptr;
};

// A socket without any of the client's care.
class RawRank {
 public:
  explicit RawRank(const std::string& path) {
    const UnixAddress address(path);
    fd_ = FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length) !=
        0) {
      throw Error(DEISA_ERROR_CONNECTION, std::strerror(errno));
    }
  }
  explicit RawRank(FileDescriptor fd) : fd_(std::move(fd)) {}

  // False if the other end is closed.
  bool send(const std::string& bytes, int fd = -1) {
    const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    for (;;) {
      const SendResult result = send_packet(fd_.get(), &piece, 1, fd);
      if (result == SendResult::kSent) return true;
      if (result != SendResult::kFull) return false;
      pollfd entry{fd_.get(), POLLOUT, 0};
      if (::poll(&entry, 1, 20000) <= 0) return false;
    }
  }
  bool send(wire::Header header, const std::string& payload = {}, int fd = -1) {
    header.payload = static_cast<uint32_t>(payload.size());
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
    return send(bytes + payload, fd);
  }
  // The next message as it came; empty at the end, or after 20 s.
  std::string receive() {
    for (;;) {
      pollfd entry{fd_.get(), POLLIN, 0};
      if (::poll(&entry, 1, 20000) <= 0) {
        ADD_FAILURE() << "no message came";
        return {};
      }
      const ReadResult result = reader_.read(fd_.get());
      if (result == ReadResult::kNothing) continue;
      if (result != ReadResult::kMessage) return {};
      return std::string(reinterpret_cast<const char*>(&reader_.header()), sizeof(wire::Header)) +
             std::string(reader_.payload());
    }
  }
  const PacketReader& last() const { return reader_; }
  int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }

 private:
  FileDescriptor fd_;
  PacketReader reader_;
};

inline wire::Header header(wire::Kind kind, uint64_t sequence) {
  wire::Header header;
  header.kind = kind;
  header.sequence = sequence;
  if (kind == wire::Kind::kHello) header.value = wire::kVersion;
  return header;
}

inline std::string hello_json(int bridge_id) {
  return "{\"bridge_id\":" + std::to_string(bridge_id) + "}";
}

inline std::string bytes_of(const wire::SlotGeometry& geometry) {
  return {reinterpret_cast<const char*>(&geometry), sizeof(geometry)};
}

inline std::string bytes_of(const std::vector<wire::Item>& items) {
  return {reinterpret_cast<const char*>(items.data()), items.size() * sizeof(wire::Item)};
}

inline std::vector<Client::Definition> definitions(const Slots& slots, size_t arrays) {
  std::vector<Client::Definition> result;
  for (uint32_t i = 0; i < arrays; ++i) result.push_back({slots.geometry(i), "{}"});
  return result;
}

// Runs `call` and returns the error it throws.
inline Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return Error(DEISA_OK, "");
}

}  // namespace deisa::test
