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

  // `arrays` is kept by reference, and must outlive the sender. Each array gets `max_in_flight`
  // slots, and one for the buffer that allocate() lends.
  Sender(const std::vector<ArrayMetadata>& arrays, int rank, uint32_t max_in_flight);

  // Connects to the node actor, hands it the slots and the description of every array.
  // `definitions[i]` describes arrays[i] as JSON.
  void connect(const std::string& socket, const std::string& hello,
               const std::vector<std::string>& definitions, const Deadline& deadline);

  // Waits up to `patience` seconds until `timestep` may begin: there is a free slot for each of
  // `arrays`, and the node actor's gate admits the timestep. Returns "", or why it may not begin.
  // Asks the node actor only while its gate is closed.
  std::string admit(int64_t timestep, const std::vector<uint32_t>& arrays, double patience);
  // Waits until each of `arrays` has fewer than max_in_flight chunks in flight, and so a free slot.
  // Throws Error(DEISA_ERROR_TIMEOUT).
  void wait_for_slots(const std::vector<uint32_t>& arrays, const Deadline& deadline);
  // Packs a chunk into a free slot: the one copy. There must be a free slot.
  Prepared prepare(uint32_t array, const void* data);
  // As above, from memory with another layout than the array's own.
  Prepared prepare(uint32_t array, const void* data, const Layout& layout);
  void discard(const Prepared& chunk);

  // Lends a slot to compute in: contiguous, of the chunk's size, contents undefined. One for each
  // array; a second call returns the same. Valid until it is taken back, or the sender ends.
  void* allocate(uint32_t array);
  // Takes the lent buffer as a chunk, without a copy, and lends another one in its place. There
  // must be a free slot. Throws Error(DEISA_ERROR_ARGUMENT) if `buffer` is not the one that was
  // lent.
  Prepared exchange(uint32_t array, void** buffer);
  // Where a chunk lies that has not been handed over.
  const void* data(const Prepared& chunk) const { return slots_.data(chunk.array, chunk.slot); }
  // Keeps the memory of lent buffers and prepared chunks mapped, also after this object has gone.
  std::shared_ptr<const void> memory() const { return slots_.memory(); }

  // Hands the chunks over as one message, and returns its number for finish() and is_finished().
  uint64_t hand_over(int64_t timestep, bool last_of_step, const std::vector<Prepared>& chunks,
                     const Deadline& deadline);
  // Waits until all chunks of the message have reached `level`. Throws what the node actor reports
  // about them, or Error(DEISA_ERROR_TIMEOUT); may be called again after a time-out.
  void finish(uint64_t message, deisa_acknowledge level, const Deadline& deadline);
  // Whether finish() would return or throw at once. Never waits. Throws Error(DEISA_ERROR_TIMEOUT)
  // whenever another `timeout` seconds have passed without that.
  bool is_finished(uint64_t message, deisa_acknowledge level, double timeout);
  // From now on nobody calls finish(): failures of the message are late failures.
  void forget(uint64_t message);
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
    bool awaited = true;  // finish() is to come: failures are kept for it
    Deadline::Clock::time_point since = Deadline::Clock::now();  // for is_finished()
    std::vector<Error> failures;
  };

  static bool has_reached(const Message& message, deisa_acknowledge level);
  static bool is_over(const Message& message);
  int64_t in_flight(uint32_t array) const;
  void handle(const Client::Answer& answer);
  void fail(Message& message, const Client::Answer& answer);
  Error late(deisa_acknowledge level, const Message& message) const;

  const std::vector<ArrayMetadata>& arrays_;
  int rank_;
  uint32_t max_in_flight_;
  Slots slots_;
  std::vector<uint32_t> lent_;  // by array: the slot that allocate() lent, or wire::kNone
  std::unique_ptr<Client> client_;
  std::map<uint64_t, Message> messages_;
  std::vector<Error> late_failures_;
  Counters counters_;
  int64_t failed_unstored_ = 0;
};

}  // namespace deisa
