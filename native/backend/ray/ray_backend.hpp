// The backend of Ray: messages to the node actor, answers back.
#pragma once

#include <deque>
#include <map>

#include "backend/backend.hpp"

namespace deisa {

class RayBackend : public Backend {
 public:
  using Backend::Backend;

  // After how many seconds waits are noticed; 0: never.
  void notice_waits_after(double seconds) { notice_after_ = seconds; }
  // The log of the node actor, for the error when that has died; "": not known.
  void name_log(const std::string& file) { log_ = file; }
  // Connects to the node actor, hands it the slots and the description of every array.
  // `definitions[i]` describes arrays[i] as JSON.
  void connect(const std::string& socket, const std::string& hello,
               const std::vector<std::string>& definitions, const Deadline& deadline);

  // After connect(), for an array whose chunks become one with those of other ranks: asks the node actor
  // for memory of all of them.
  void share(uint32_t array, const Box& box, const Deadline& deadline);

  void describe(uint32_t array, const Deadline& deadline) override;
  // Asks the node actor only while its gate is closed.
  std::string admit(int64_t timestep, const std::vector<uint32_t>& arrays, double timeout) override;
  void wait_for_slots(const std::vector<uint32_t>& arrays, const Deadline& deadline) override;

  uint64_t hand_over(int64_t timestep, bool last_of_step, const std::vector<Prepared>& chunks,
                     const Deadline& deadline) override;
  void finish(uint64_t message, deisa_acknowledge level, const Deadline& deadline) override;
  bool is_finished(uint64_t message, deisa_acknowledge level, double timeout) override;
  void forget(uint64_t message) override;
  void promise(int64_t timestep, const Deadline& deadline) override;
  void flush(const Deadline& deadline) override;
  void end(int64_t timestep, const Deadline& deadline) override;
  void leave(bool closed) noexcept override;

  const Client::Value& get(const std::string& key, const Client::Query& query,
                           const Deadline& deadline) override;
  void remove(const std::string& key, const Deadline& deadline) override;

  bool is_lost() const noexcept override { return client_ != nullptr && client_->is_gone(); }
  void poll() override;
  std::vector<Error> take_late_failures() override;
  int64_t chunks_in_flight() const override {
    return counters_.chunks_sent - counters_.chunks_stored - failed_unstored_;
  }

 private:
  struct Message {  // one STEP or END, until all its chunks are done
    int64_t timestep;
    size_t chunks;
    std::vector<uint32_t> open;  // arrays whose chunk is neither announced nor failed
    bool is_end = false;         // the end marker, which is nobody's chunk
    bool received = false;
    size_t stored = 0;
    size_t unstored = 0;  // chunks whose slots are taken
    size_t announced = 0;
    size_t failed = 0;
    bool awaited = true;  // finish() is to come: failures are kept for it
    Deadline::Clock::time_point since = Deadline::Clock::now();  // for is_finished()
    std::vector<Error> failures;
  };

  static bool has_reached(const Message& message, deisa_acknowledge level);
  static bool is_over(const Message& message);
  void handle(const Client::Answer& answer);
  bool is_known_cause(const std::string& text);
  void fail(Message& message, const Client::Answer& answer);
  static void close(Message& message, uint32_t array);  // its chunk is announced, or has failed
  std::optional<Client::Answer> receive(const Deadline& deadline);
  // Work that speaks with the node actor. Should that be gone, the error says what is lost with it.
  template <typename Work>
  auto talk(const Work& work);
  void lose_all();
  // For waits that began at `since`, and whose time is over.
  Error late(deisa_acknowledge level, const Message& message,
             Deadline::Clock::time_point since) const;
  std::string why_not_stored(uint32_t array, Deadline::Clock::time_point since) const;

  std::unique_ptr<Client> client_;
  std::map<uint64_t, Message> messages_;
  std::vector<Error> late_failures_;
  std::deque<std::string> causes_;  // the newest that were told, or that chunks failed for
  int64_t failed_unstored_ = 0;
  double notice_after_ = 0;
  std::string log_;
  int64_t newest_announced_ = DEISA_NO_TIMESTEP;
  bool over_ = false;  // nothing that is sent will be analysed any more, as the node actor has said
  std::string lost_;   // what is lost with the node actor, when it is gone
};

}  // namespace deisa
