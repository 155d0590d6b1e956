// Backends without Ray: chunks that go nowhere, for testing and for measuring what the rest costs.
#pragma once

#include "backend/backend.hpp"
#include "backend/starter.hpp"

namespace deisa {

// Takes every chunk, counts it, and forgets it. There is no feedback.
class NullBackend : public Backend {
 public:
  // A buffer to compute in and one to read are all that is ever used.
  NullBackend(const std::vector<ArrayMetadata>& arrays, int rank) : Backend(arrays, rank, 1) {}

  std::string admit(int64_t, const std::vector<uint32_t>&, double) override { return ""; }
  void wait_for_slots(const std::vector<uint32_t>&, const Deadline&) override {}

  uint64_t hand_over(int64_t timestep, bool last_of_step, const std::vector<Prepared>& chunks,
                     const Deadline& deadline) override;
  void finish(uint64_t, deisa_acknowledge, const Deadline&) override {}
  bool is_finished(uint64_t, deisa_acknowledge, double) override { return true; }
  void forget(uint64_t) override {}
  void promise(int64_t, const Deadline&) override {}
  void flush(const Deadline&) override {}
  void end(int64_t, const Deadline&) override {}
  void leave(bool) noexcept override {}

  const Client::Value& get(const std::string&, const Client::Query&, const Deadline&) override {
    return none_;
  }
  void remove(const std::string&, const Deadline&) override {}

  void poll() override {}
  std::vector<Error> take_late_failures() override { return {}; }
  int64_t chunks_in_flight() const override { return 0; }

 protected:
  // What becomes of a chunk; `data` is contiguous, last dimension fastest.
  virtual void take(uint32_t array, int64_t timestep, const void* data);

 private:
  const Client::Value none_;
  uint64_t message_ = 0;
};

class NullStarter final : public Starter {
 public:
  void start(const Ranks& ranks, const Deadline& deadline,
             std::unique_ptr<Backend>& backend) override;
};

}  // namespace deisa
