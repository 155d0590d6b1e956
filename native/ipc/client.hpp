// A rank's end of the socket to its node actor. No thread: answers are read inside its calls.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/wait_notice.hpp"
#include "ipc/packet.hpp"
#include "ipc/wire.hpp"

namespace deisa {

// Not thread-safe: the bridge serialises its calls.
class Client {
 public:
  // Something the node actor said about data that was sent.
  struct Answer {
    wire::Header header;
    std::string text;  // payload of FAILED and NOTICE
  };
  struct Value {
    bool found = false;
    std::string packed;    // MessagePack
    uint64_t version = 0;  // another one for every other value; 0: not kept
  };
  // What of a key is asked for; by default the newest value, if there is one.
  struct Query {
    Query(int64_t of = wire::kNoTimestep) : timestep(of) {}
    int64_t timestep;
    double wait = 0;   // seconds
    bool all = false;  // all kept values
  };
  struct Definition {
    wire::SlotGeometry geometry;
    std::string json;
  };

  // Which timesteps this rank may begin, as the node actor said last.
  struct Gate {
    bool open = true;                    // any; else none after `newest`
    int64_t newest = wire::kNoTimestep;  // kNoTimestep: none
    std::string reason;                  // why it is closed
    uint64_t answered = 0;               // sequence number of the newest ASK that was answered
    bool admits(int64_t timestep) const { return open || timestep <= newest; }
  };

  // While it lives, waits of the client that take long are noticed.
  class Noticed {
   public:
    Noticed(Client& client, double after, const Deadline& limit,
            std::function<WaitNotice::Text()> text)
        : client_(client), notice_(after, limit, std::move(text)) {
      client_.notice_ = &notice_;
    }
    ~Noticed() { client_.notice_ = nullptr; }
    Noticed(const Noticed&) = delete;
    Noticed& operator=(const Noticed&) = delete;

   private:
    Client& client_;
    WaitNotice notice_;
  };

  // Connects to the node actor's socket. Throws Error(DEISA_ERROR_CONNECTION or _TIMEOUT).
  Client(const std::string& path, const Deadline& deadline);

  // HELLO with the memfd, DEFINE for each array in order, READY; waits for WELCOME. Throws the
  // status and text of REFUSED. `memfd` stays the caller's.
  void introduce(const std::string& hello_json, int memfd, const std::vector<Definition>& arrays,
                 const Deadline& deadline);

  // DEFINE once more, for an array whose dtype has become known, before its first chunk. Throws the
  // status and text of the answer.
  void describe(uint32_t array, const Definition& definition, const Deadline& deadline);

  // Memory that the chunks of several ranks share: the first of them that asks for it under this name
  // makes it. The array's slots are then as many more. Throws the status and text of the answer.
  FileDescriptor share(uint32_t array, const wire::SharedSlots& slots, const std::string& name,
                       const Deadline& deadline);

  // Each sends one message and returns its sequence number. They wait only while the socket is
  // full, up to the deadline, and read answers meanwhile. After an error nothing was sent. A step
  // has at most wire::kMaxArrays items.
  uint64_t send_step(int64_t timestep, bool last_of_step, const std::vector<wire::Item>& items,
                     const Deadline& deadline);
  void send_progress(int64_t timestep, const Deadline& deadline);
  // `waits`: the node actor is to tell when the timestep may begin; else only whether it may now.
  uint64_t send_ask(int64_t timestep, bool waits, const Deadline& deadline);
  uint64_t send_end(int64_t timestep, const Deadline& deadline);
  void send_bye(bool closed) noexcept;  // best effort, never waits; the last call

  // Reads one answer (RECEIVED, STORED, ANNOUNCED, FAILED, NOTICE). receive() waits up to the
  // deadline, poll() not at all. Throws Error(DEISA_ERROR_CONNECTION) when the actor is gone, or
  // the status and text of a REFUSED, after every answer that came before has been read. Array and
  // slot of an answer are in the range of what was introduced, or wire::kNone.
  std::optional<Answer> receive(const Deadline& deadline);
  std::optional<Answer> poll();

  // The gate as of what has been read: poll() first, to have read everything.
  const Gate& gate() const { return gate_; }
  // Reads on until the gate admits `timestep` or, if `asked` is not 0, until that ASK is answered.
  // Answers are kept for receive() and poll(). Throws as these do when the actor is gone; after the
  // deadline it returns.
  void wait_for_gate(int64_t timestep, uint64_t asked, const Deadline& deadline);

  // Nothing more will come from the node actor: every call throws.
  bool is_gone() const noexcept { return gone_.has_value(); }

  // Why the process of the node actor cannot do anything now, or "": it is stopped.
  std::string why_stopped() const;
  // Why the node actor has not answered since then, if it has not: its process is stopped, or runs
  // and says nothing. "" if it has answered.
  std::string explain_silence(Deadline::Clock::time_point since) const;

  // Request and answer; other answers that come in between are kept for receive() and poll().
  // The newest value of a key is kept, and the node actor tells when it changes: reading it again
  // sends nothing. Valid until the next call.
  const Value& get(const std::string& key, const Query& query, const Deadline& deadline);
  void remove(const std::string& key, const Deadline& deadline);

 private:
  // The answer to a request: WELCOME, VALUE or DONE.
  struct Reply {
    wire::Header header;
    std::string payload;
    FileDescriptor fd;
  };

  uint64_t send(wire::Header header, const void* first, size_t first_bytes,
                const std::string& second, int fd, const Deadline& deadline);
  Reply ask(wire::Kind reply, uint64_t sequence, const char* request, const Deadline& deadline);
  bool read_one();
  void dispatch();
  bool change(const wire::Header& header);
  bool in_range(const wire::Header& header) const;
  std::optional<Answer> take();
  void wait(bool for_room, const Deadline& deadline);
  void lose(deisa_status status, const std::string& why);

  WaitNotice* notice_ = nullptr;
  std::string path_;
  FileDescriptor socket_;
  Deadline::Clock::time_point heard_ = Deadline::Clock::now();  // when the last message came
  PacketReader reader_;
  uint64_t sequence_ = 0;
  uint64_t awaited_ = 0;  // the request whose reply is wanted, or 0
  std::optional<Reply> reply_;
  std::deque<Answer> answers_;
  Gate gate_;
  std::map<std::string, Value> kept_;  // that the node actor tells of
  Value answered_;                     // of the last get, if it is not kept
  uint64_t versions_ = 0;
  std::vector<uint32_t> slot_counts_;  // of each array
  std::optional<Error> gone_;          // why nothing more can come
};

}  // namespace deisa
