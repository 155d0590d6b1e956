// The node actor's end of the socket: see node.h, which is this class as plain functions.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/trace.hpp"
#include "ipc/connection.hpp"
#include "ipc/listener.hpp"
#include "ipc/node.h"
#include "ipc/packet.hpp"
#include "ipc/wire.hpp"

namespace deisa {

// One lock guards everything: nothing that is done under it waits, so it is never held for long.
// An event is queued, and then RECEIVED written, under one hold of it: so a rank sees RECEIVED
// before STORED, and only when the actor has the bytes.
class Receiver {
 public:
  explicit Receiver(const std::string& path);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  void stop();
  deisa_status next(deisa_node_event* event, int timeout_ms);

  deisa_status welcome(uint64_t connection, uint64_t sequence);
  deisa_status refuse(uint64_t connection, int32_t status, std::string_view text);
  deisa_status stored(uint64_t connection, uint64_t sequence, uint32_t array, uint32_t slot);
  deisa_status announced(uint64_t connection, uint64_t sequence, uint32_t array);
  deisa_status failed(uint64_t connection, uint64_t sequence, uint32_t array, uint32_t slot,
                      int32_t status, int64_t timestep, std::string_view text);
  deisa_status value(uint64_t connection, uint64_t sequence, int32_t status, bool kept,
                     std::string_view data);
  deisa_status changed(uint64_t connection, int32_t status, std::string_view key,
                       std::string_view data);
  deisa_status done(uint64_t connection, uint64_t sequence, int32_t status, std::string_view text);
  deisa_status notice(uint64_t connection, int32_t status, std::string_view text,
                      uint16_t flags = 0);
  deisa_status gate(uint64_t connection, uint64_t sequence, int32_t open, int64_t timestep,
                    std::string_view text);
  deisa_status trace(const char* file, const char* process);
  deisa_status span(const char* name, int32_t rank, const char* array, int64_t timestep,
                    int64_t begin, int64_t end, int32_t row);
  deisa_status close(uint64_t connection);
  deisa_status release(uint64_t connection);
  deisa_node_counters counters();

 private:
  struct Outgoing {
    std::vector<std::byte> bytes;
    FileDescriptor fd;
  };
  struct Peer {
    explicit Peer(uint64_t id) : id(id), protocol(id) {}
    uint64_t id;
    Connection protocol;
    FileDescriptor socket;  // empty once the connection is closed
    std::deque<Outgoing> out;
    size_t out_bytes = 0;
    size_t queued_events = 0;
    uint32_t interest = 0;  // what epoll watches; 0: not registered
    bool spoke = false;     // a message came
    bool deaf = false;      // the other end cannot be written to any more
    bool paused = false;    // not read, until Python or the rank has caught up
    bool ended = false;     // BYE or LOST was pulled
  };
  using Lock = std::unique_lock<std::mutex>;
  // The lock. When it is given back, whoever waits for events is notified of what was pushed.
  class Turn {
   public:
    explicit Turn(Receiver& receiver);
    ~Turn();

   private:
    Receiver& receiver_;
    Lock lock_;
    const uint64_t before_;
  };

  void run();
  void accept_all();
  void refuse_socket(int socket, deisa_status status, std::string_view text);
  void serve(uint64_t id, uint32_t ready);
  bool read_message(Peer& peer);
  void share(Peer& peer);
  void reject(Peer& peer, const Error& why);
  void end(Peer& peer, Event last);
  void lose(Peer& peer, const std::string& why);
  void push(Peer& peer, Event event);
  void send(Peer& peer, wire::Header header, std::string_view payload, FileDescriptor fd = {});
  bool lose_if_unread(Peer& peer);
  void flush(Peer& peer);
  void unsendable(Peer& peer, SendResult result);
  void watch(Peer& peer);
  Peer* find(uint64_t id);
  Peer* find_open(uint64_t id);
  Trace* open_trace();

  FileDescriptor reserve_;  // given up for a moment to refuse a rank when no descriptor is left
  FileDescriptor epoll_;
  FileDescriptor wake_;
  PacketReader reader_;  // the thread's
  Listener listener_;

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::unordered_map<uint64_t, std::unique_ptr<Peer>> peers_;
  std::map<std::string, std::shared_ptr<const SharedMemory>> shared_;  // by name
  uint64_t shared_bytes_ = 0;
  std::deque<Event> events_;
  uint64_t pushed_ = 0;  // events, in all
  Event current_;        // what the last next() returned
  uint64_t last_id_ = 0;
  uint64_t open_ = 0;
  deisa_node_counters counters_{};
  bool stopping_ = false;
  std::unique_ptr<Trace> trace_;  // empty without one; once set it stays
  std::mutex stop_mutex_;
  std::thread thread_;
};

}  // namespace deisa
