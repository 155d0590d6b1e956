// A rank's end of the socket to its node actor. No thread: answers are read inside its calls.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "handoff/wire.hpp"

namespace deisa {

class Client {
 public:
  // Something the node actor said about data that was sent.
  struct Answer {
    wire::Header header;
    std::string text;  // payload of FAILED, REFUSED and NOTICE; Items of STORED are not used
  };
  struct Value {
    bool found = false;
    std::string packed;  // MessagePack
  };
  struct Definition {
    wire::SlotGeometry geometry;
    std::string json;
  };

  // Connects to the node actor's socket. Throws Error(DEISA_ERROR_CONNECTION or _TIMEOUT).
  Client(const std::string& path, const Deadline& deadline);

  // HELLO with the memfd, DEFINE for each array in order, READY; waits for WELCOME. Throws the
  // status and text of REFUSED.
  void introduce(const std::string& hello_json, int memfd, const std::vector<Definition>& arrays,
                 const Deadline& deadline);

  // Each sends one message and returns its sequence number. They wait only while the socket is
  // full, up to the deadline.
  uint64_t send_step(int64_t timestep, bool last_of_step, const std::vector<wire::Item>& items,
                     const Deadline& deadline);
  void send_progress(int64_t timestep, const Deadline& deadline);
  uint64_t send_end(int64_t timestep, const Deadline& deadline);
  void send_bye(bool closed) noexcept;  // best effort, never waits

  // Reads one answer (RECEIVED, STORED, ANNOUNCED, FAILED, NOTICE). receive() waits up to the
  // deadline, poll() not at all. Throws Error(DEISA_ERROR_CONNECTION) when the actor is gone, after
  // every answer that came before has been read.
  std::optional<Answer> receive(const Deadline& deadline);
  std::optional<Answer> poll();

  // Request and answer; other answers that come in between are kept for receive() and poll().
  Value get(const std::string& key, int64_t timestep, const Deadline& deadline);
  void remove(const std::string& key, const Deadline& deadline);
};

}  // namespace deisa
