// The data path of one rank: chunks into slots, messages to the node actor, answers back.
// Keeps no rule about timesteps; that is the bridge's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bridge/metadata.hpp"
#include "handoff/client.hpp"
#include "handoff/slots.hpp"

namespace deisa {

class Sender {
 public:
  struct Counters {
    int64_t chunks_sent = 0;
    int64_t chunks_stored = 0;
    int64_t chunks_announced = 0;
    int64_t chunks_failed = 0;
    int64_t bytes_sent = 0;
    int64_t bytes_copied = 0;
    double seconds_blocked = 0;
  };
  // A chunk that lies in a slot and has not been handed over.
  struct Prepared {
    uint32_t array;
    uint32_t slot;
  };

  // `arrays` is kept by reference, and must outlive the sender.
  Sender(const std::vector<ArrayMetadata>& arrays, int rank, uint32_t slots_per_array);

  // Connects to the node actor, hands it the slots and the description of every array.
  // `definitions[i]` describes arrays[i] as JSON.
  void connect(const std::string& socket, const std::string& hello,
               const std::vector<std::string>& definitions, const Deadline& deadline);

  // Waits until each of `arrays` has a free slot. Throws Error(DEISA_ERROR_TIMEOUT).
  void wait_for_slots(const std::vector<uint32_t>& arrays, const Deadline& deadline);
  // Packs a chunk into a free slot: the one copy. There must be a free slot.
  Prepared prepare(uint32_t array, const void* data);
  // As above, from memory with another layout than the array's own.
  Prepared prepare(uint32_t array, const void* data, const Layout& layout);
  void discard(const Prepared& chunk);

  // Hands the chunks over as one message, and waits until all have reached `level`. Throws what
  // the node actor reports about these chunks.
  void hand_over(int64_t timestep, bool last_of_step, const std::vector<Prepared>& chunks,
                 deisa_acknowledge level, const Deadline& deadline);
  // Nothing older than `timestep` will come from this rank.
  void promise(int64_t timestep, const Deadline& deadline);
  // Waits until every chunk has been announced, or has failed.
  void flush(const Deadline& deadline);
  void end(int64_t timestep, const Deadline& deadline);
  void leave(bool closed) noexcept;

  Client::Value get(const std::string& key, int64_t timestep, const Deadline& deadline);
  void remove(const std::string& key, const Deadline& deadline);

  // Reads what the node actor said meanwhile. Never waits.
  void poll();
  // Failures of chunks whose send had returned, oldest first; taken once.
  std::vector<Error> take_late_failures();

  Counters counters() const { return counters_; }
  int64_t chunks_in_flight() const {
    return counters_.chunks_sent - counters_.chunks_stored - failed_unstored_;
  }

 private:
  struct Message {  // one STEP or END, until all its chunks are done
    int64_t timestep;
    size_t chunks;
    bool received = false;
    size_t stored = 0;
    size_t announced = 0;
    size_t failed = 0;
    bool waited_for = false;  // its failures go to the caller that waits, not to the next call
    std::vector<Error> failures;
  };

  void wait_until(uint64_t sequence, deisa_acknowledge level, const Deadline& deadline);
  void handle(const Client::Answer& answer);
  void fail(Message& message, const Client::Answer& answer);
  Error late(const char* what, const Deadline& deadline, const Message* message) const;

  const std::vector<ArrayMetadata>& arrays_;
  int rank_;
  Slots slots_;
  std::unique_ptr<Client> client_;
  std::map<uint64_t, Message> messages_;
  std::vector<Error> late_failures_;
  Counters counters_;
  int64_t failed_unstored_ = 0;
};

}  // namespace deisa
