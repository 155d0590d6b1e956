// Where a rank's chunks go: slots in memory, which every backend has, and what is done with them.
// Keeps no rule about timesteps; that is the bridge's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/boxes.hpp"
#include "chunk/metadata.hpp"
#include "ipc/client.hpp"
#include "ipc/slots.hpp"

namespace deisa {

class Backend {
 public:
  // Of feedback.
  using Value = Client::Value;
  using Query = Client::Query;
  struct Counters {
    int64_t chunks_sent = 0;
    int64_t chunks_stored = 0;
    int64_t chunks_announced = 0;
    int64_t chunks_failed = 0;
    int64_t chunks_lost = 0;
    int64_t bytes_sent = 0;
    int64_t bytes_copied = 0;
    double seconds_blocked = 0;
  };
  // A chunk that lies in a slot and has not been handed over.
  struct Prepared {
    uint32_t array;
    uint32_t slot;
  };

  // `arrays` is kept by reference, and must outlive the backend. Each array gets `max_in_flight`
  // slots, and one for the loan.
  Backend(const std::vector<ArrayMetadata>& arrays, int rank, uint32_t max_in_flight);
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // Waits up to `timeout` seconds until `timestep` may begin: there is a free slot for each of
  // `arrays`, and whoever takes the chunks admits the timestep. Returns "", or why it may not
  // begin.
  virtual std::string admit(int64_t timestep, const std::vector<uint32_t>& arrays,
                            double timeout) = 0;
  // Waits until each of `arrays` has fewer than max_in_flight chunks in flight, and so a free slot.
  // Throws Error(DEISA_ERROR_TIMEOUT).
  virtual void wait_for_slots(const std::vector<uint32_t>& arrays, const Deadline& deadline) = 0;

  // The dtype of an array became known, with its first chunk. Throws Error(DEISA_ERROR_CONTRACT) when
  // it is not that of the other ranks.
  virtual void describe(uint32_t array, const Deadline& deadline) {
    (void)array;
    (void)deadline;
  }

  // Packs a chunk into a free slot: the one copy. There must be a free slot.
  Prepared prepare(uint32_t array, const void* data);
  // As above, from memory with another layout than the array's own.
  Prepared prepare(uint32_t array, const void* data, const Layout& layout);
  void discard(const Prepared& chunk);

  // The array's chunks become one with those of other ranks of this node: they are packed into memory
  // of all of them, which is the caller's `memfd`. Before the first chunk.
  void share(uint32_t array, int memfd, const wire::SharedSlots& slots, const Box& box);

  // A loan, a slot to compute in: contiguous, of the chunk's size, contents undefined. One for each
  // array; a second call returns the same. Valid until it is taken back, or the backend ends.
  void* loan(uint32_t array);
  // Takes the loan as a chunk, without a copy, and gives another one in its place. There
  // must be a free slot. Throws Error(DEISA_ERROR_ARGUMENT) if `buffer` is not the
  // loan.
  Prepared exchange(uint32_t array, void** buffer);
  // Where a chunk lies that has not been handed over, and how.
  const void* data(const Prepared& chunk) const { return address(chunk.array, chunk.slot); }
  Layout layout(const Prepared& chunk) const;
  // Keeps the memory of loans and prepared chunks mapped, also after this object has gone.
  std::shared_ptr<const void> memory() const { return slots_.memory(); }

  // Hands the chunks over, together, and returns a number for finish() and is_finished().
  virtual uint64_t hand_over(int64_t timestep, bool last_of_step,
                             const std::vector<Prepared>& chunks, const Deadline& deadline) = 0;
  // Waits until all chunks of the message have reached `level`. Throws what is reported about them,
  // or Error(DEISA_ERROR_TIMEOUT); may be called again after a time-out.
  virtual void finish(uint64_t message, deisa_acknowledge level, const Deadline& deadline) = 0;
  // Whether finish() would return or throw at once. Never waits. Throws Error(DEISA_ERROR_TIMEOUT)
  // whenever another `timeout` seconds have passed without that.
  virtual bool is_finished(uint64_t message, deisa_acknowledge level, double timeout) = 0;
  // From now on nobody calls finish(): failures of the message are late failures.
  virtual void forget(uint64_t message) = 0;
  // Nothing older than `timestep` will come from this rank.
  virtual void promise(int64_t timestep, const Deadline& deadline) = 0;
  // Waits until every chunk has been announced, or has failed.
  virtual void flush(const Deadline& deadline) = 0;
  // On bridge 0, when every rank has flushed: no chunk will come any more.
  virtual void end(int64_t timestep, const Deadline& deadline) = 0;
  virtual void leave(bool closed) noexcept = 0;

  // Valid until the next call.
  virtual const Value& get(const std::string& key, const Query& query,
                           const Deadline& deadline) = 0;
  virtual void remove(const std::string& key, const Deadline& deadline) = 0;

  // Whoever takes the chunks has died.
  virtual bool is_lost() const noexcept { return false; }
  // Takes in what has happened to chunks meanwhile. Never waits.
  virtual void poll() = 0;
  // Failures of chunks whose send had returned, oldest first; taken once.
  virtual std::vector<Error> take_late_failures() = 0;

  Counters counters() const { return counters_; }
  virtual int64_t chunks_in_flight() const = 0;  // sent, not yet stored

 protected:
  // Adds the time that a scope takes to a counter.
  class Stopwatch {
   public:
    explicit Stopwatch(double& seconds) : seconds_(seconds), start_(Deadline::Clock::now()) {}
    ~Stopwatch() {
      seconds_ += std::chrono::duration<double>(Deadline::Clock::now() - start_).count();
    }
    Stopwatch(const Stopwatch&) = delete;
    Stopwatch& operator=(const Stopwatch&) = delete;

   private:
    double& seconds_;
    Deadline::Clock::time_point start_;
  };

  int64_t in_flight(uint32_t array) const;
  std::byte* address(uint32_t array, uint32_t slot) const;
  uint32_t acquire_contiguous(uint32_t array);

  const std::vector<ArrayMetadata>& arrays_;
  int rank_;
  uint32_t max_in_flight_;
  Slots slots_;
  std::vector<std::optional<Box>> boxes_;  // by array, of those that share
  std::vector<uint32_t> loans_;            // by array: the slot, or wire::kNone
  Counters counters_;
};

}  // namespace deisa
