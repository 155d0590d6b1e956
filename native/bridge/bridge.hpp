// One rank's bridge: the rules about states, steps and order. Everything it throws is an Error.
// Not thread-safe; the C ABI serialises its calls.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.hpp"
#include "backend/plan.hpp"
#include "backend/starter.hpp"
#include "base/trace.hpp"
#include "bridge/bridge_options.hpp"
#include "chunk/metadata.hpp"
#include "comm/communicator.hpp"
#include "comm/refusal.hpp"

namespace deisa {

// Where a chunk comes from: the simulation's memory, or a loan.
struct Source {
  const void* data = nullptr;
  const Layout* layout = nullptr;  // NULL: the array's own
  void** loan = nullptr;           // exchanged for the next one; then `data` is not read

  static Source memory(const void* data) { return {data, nullptr, nullptr}; }
  static Source memory(const void* data, const Layout& layout) { return {data, &layout, nullptr}; }
  static Source of_loan(void** buffer) { return {nullptr, nullptr, buffer}; }
};

class Bridge {
 public:
  // `starter` makes the backend.
  Bridge(BridgeOptions options, std::unique_ptr<Starter> starter);
  ~Bridge();
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;

  int rank() const noexcept { return options_.bridge_id; }

  // Before ready(). `metadata` is a JSON object of arrays; all problems are reported together, with
  // those that the caller has found already.
  void define(const nlohmann::json& metadata, Problems problems = {});

  void ready();

  // In the functions below an Error of status DEISA_ERROR_CONTRACT means that nothing was done.
  void send(const std::string& name, const Source& source, int64_t timestep);
  // As send, but returns at once: a request for wait() and test(), at most max_in_flight at a time.
  uint64_t send_async(const std::string& name, const Source& source, int64_t timestep);
  // Collective if when_full is skip. False: the step is skipped on every rank, and puts and end_step
  // do nothing.
  bool begin_step(int64_t timestep);
  void put(const std::string& name, const Source& source);
  void end_step();
  uint64_t end_step_async();
  // Leaves the open step out on this rank, with what was put; nothing if no step is open.
  void abandon_step();
  // Request 0, and every request that was waited for, is finished.
  // Throws Error(DEISA_ERROR_ARGUMENT) for a number that was never a request.
  void wait(uint64_t request);
  bool test(uint64_t request);
  // The memory to compute in, for Source::loan.
  void* loan(const std::string& name);
  // The loan, and the chunks of the open step, for Arrow: views that stay mapped until they are
  // released.
  void export_loan(const std::string& name, ArrowArray* array, ArrowSchema* schema);
  void export_step(ArrowArray* array, ArrowSchema* schema) const;
  void flush();
  // `report` is called with what fails meanwhile, whenever something has.
  void close(int64_t timestep, const std::function<void(std::vector<Error>)>& report);
  // Leaves without synchronising. Never throws; nothing else may be called afterwards.
  void abandon() noexcept;

  // Valid until the next call.
  const Backend::Value& get(const std::string& key, const deisa_get_options& options);
  // Before ready(): values come as Python's pickles.
  void use_pickle();
  void remove(const std::string& key);
  deisa_statistics statistics() noexcept;
  // Of a failure that is reported.
  void count_error(const Error& error) noexcept;
  // After a call that has failed: if whoever takes the chunks has died, nobody else would tell the
  // analytics the end.
  void end_session_if_lost() noexcept;

  // The layout of a defined array, in its own strides. Throws Error(DEISA_ERROR_CONTRACT), also when
  // its dtype is not known yet.
  const Layout& layout_of(const std::string& name) const;
  // Throws Error(DEISA_ERROR_CONTRACT) unless the array was defined with this dtype.
  void check_dtype(const std::string& name, deisa_dtype dtype) const;
  // A chunk of the array in other memory; `strides` may be NULL: contiguous. Throws
  // Error(DEISA_ERROR_CONTRACT) unless dtype and shape are those of the array.
  Layout layout_for(const std::string& name, deisa_dtype dtype, int32_t ndim, const int64_t* shape,
                    const int64_t* strides) const;
  // Reads what the node actor said meanwhile. Never waits, and leaves the loss of the node actor to
  // the call that needs it.
  void look_for_late_failures() noexcept;
  // Failures of earlier calls that became known since; taken once.
  std::vector<Error> take_late_failures();
  // Puts back what was taken, for the next time.
  void keep_late_failures(std::vector<Error> failures) { kept_ = std::move(failures); }
  bool is_closed() const noexcept { return state_ == State::kClosed; }
  // In the place of begin_step, which is collective if when_full is skip: then the others do not
  // wait for this rank, and the step is skipped on every rank.
  void decline_step(int64_t timestep) noexcept;
  // Also after a failed begin_step that was reported and not returned: this rank skips the step.
  void skip_step(int64_t timestep) noexcept;

 private:
  enum class State { kDefining, kReady, kFailed, kClosed };
  enum class Step { kNone, kOpen, kSkipped };

  // The same as send_async and end_step_async: the message, 0 for none.
  uint64_t hand_over_chunk(const std::string& name, const Source& source, int64_t timestep);
  uint64_t hand_over_step();
  uint64_t request_of(uint64_t message);
  uint64_t message_of(uint64_t request) const;

  void open_communicator();
  void agree_on_plan();

  Error contract(const std::string& text) const;
  void require_ready(const char* call) const;
  uint32_t index_of(const std::string& name) const;
  void finish_now(uint64_t message, const std::string& array, int64_t timestep);
  TraceSpan span(const char* name, const std::string& array, int64_t timestep) const {
    return {options_.trace.get(), name, options_.bridge_id, array, timestep};
  }
  // With the first chunk of an array that was defined without one. Throws
  // Error(DEISA_ERROR_CONTRACT) when other ranks have another.
  void learn_dtype(uint32_t array, const Source& source);
  Backend::Prepared take(uint32_t array, const Source& source, int64_t timestep);
  // No step can be skipped: a rank has died, and all ranks would have to agree. This one waits for
  // room instead, so that what can still be complete goes on.
  bool is_alone() const;
  // Collective, with when_full = skip.
  bool may_begin_together(int64_t timestep, const std::function<std::string()>& admit);
  void admit_chunk(uint32_t array, int64_t timestep, const Deadline& deadline);
  void filter_chunk(uint32_t array, const Source& source, int64_t timestep);
  // The arrays of this rank that are sent at this timestep.
  std::vector<uint32_t> due_arrays(int64_t timestep) const;
  // On stderr, with DEISA_STATUS=1.
  void print_statistics() noexcept;
  void check_order(uint32_t array, int64_t timestep) const;
  void check_step_order(int64_t timestep) const;
  void sent(uint32_t array, int64_t timestep);
  Deadline send_deadline() const { return Deadline::after(options_.send_timeout); }

  BridgeOptions options_;
  State state_ = State::kDefining;
  std::vector<ArrayMetadata> arrays_;
  std::unique_ptr<Communicator> communicator_;
  std::unique_ptr<Refusal> refusal_;  // on rank 0, when the rendezvous has failed
  std::optional<Error> undefined_;    // why an array could not be defined
  std::unique_ptr<Starter> starter_;
  std::unique_ptr<Backend> backend_;
  Plan plan_;

  std::vector<ArrayFilter> filters_;             // by array
  std::vector<int64_t> newest_;                  // by array: newest timestep sent, or filtered
  int64_t newest_step_ = DEISA_NO_TIMESTEP;      // of all arrays: newest sent
  int64_t newest_filtered_ = DEISA_NO_TIMESTEP;  // outside of steps
  int64_t oldest_allowed_ = DEISA_NO_TIMESTEP;   // timesteps below this one are over
  Step step_ = Step::kNone;
  int64_t step_timestep_ = DEISA_NO_TIMESTEP;
  std::vector<Backend::Prepared> step_chunks_;
  std::vector<uint32_t> step_filtered_;  // arrays that were put, and are not sent at this timestep
  std::map<uint64_t, uint64_t> requests_;  // that nobody has waited for: message
  uint64_t newest_request_ = 0;
  Backend::Value common_;    // of the last collective get
  std::vector<Error> kept_;  // late failures that were taken and put back
  int64_t steps_sent_ = 0;
  int64_t steps_skipped_ = 0;
  int64_t chunks_filtered_ = 0;
  const char* ended_ = "";  // how
  bool pickles_ = false;    // feedback comes as pickles
  int64_t errors_ = 0;
  int64_t errors_earlier_ = 0;
};

// On rank 0, when no rendezvous will come of it: the others need not wait for their time-out. Waits
// a moment for their questions, which are answered as long as what it returns lives. NULL elsewhere,
// and where nobody can be told.
std::unique_ptr<Refusal> refuse_others(const BridgeOptions& options, const Error& why) noexcept;

}  // namespace deisa
