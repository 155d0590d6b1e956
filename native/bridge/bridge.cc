#include "bridge/bridge.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/wait_notice.hpp"
#include "bridge/admission.hpp"
#include "chunk/arrow.hpp"

namespace deisa {
namespace {

// A feedback value is looked up at the head actor; that never waits for a value, and is short.
constexpr double kFeedbackTimeout = 30.0;

std::string timestep_text(int64_t timestep) { return std::to_string(timestep); }

// What to do instead.
constexpr const char* kFixedShape =
    ". A shape cannot change with the timestep: define the largest one, and send beside it how "
    "much "
    "of it counts";

// In a trace: what concerns a whole step.
const std::string kEveryArray;

// As a chunk lies in its slot.
Layout packed(const Layout& layout) { return Layout::contiguous(layout.dtype, layout.shape); }

}  // namespace

Bridge::Bridge(BridgeOptions options, std::unique_ptr<Starter> starter)
    : options_(std::move(options)), starter_(std::move(starter)) {
  if (options_.bridge_id == 0) arrays_.push_back(end_marker_metadata());
}

Bridge::~Bridge() {
  abandon();
  print_statistics();  // whatever happened
}

Error Bridge::contract(const std::string& text) const {
  Error error(DEISA_ERROR_CONTRACT, text);
  error.at_rank(options_.bridge_id);
  return error;
}

void Bridge::define(const nlohmann::json& metadata, Problems problems) {
  if (state_ != State::kDefining) {
    throw contract("an array was defined after deisa_ready: define every array before it");
  }
  std::vector<ArrayMetadata> defined;
  if (!metadata.is_object()) {
    problems.add("arrays_metadata: expected an object, array name -> metadata");
  } else {
    for (const auto& [name, of_array] : metadata.items()) {
      const auto known = std::find_if(arrays_.begin(), arrays_.end(),
                                      [&n = name](const auto& array) { return array.name == n; });
      if (known != arrays_.end() && name != kEndMarkerArray) {
        problems.add("array '" + name + "': is defined already: expected each name once");
      }
      if (auto array = parse_metadata(name, of_array, problems)) {
        defined.push_back(std::move(*array));
      }
    }
  }
  try {
    problems.raise(DEISA_ERROR_ARGUMENT, "invalid arrays_metadata:");
  } catch (Error& error) {
    undefined_ = error.at_rank(options_.bridge_id);
    throw;
  }
  undefined_.reset();
  std::move(defined.begin(), defined.end(), std::back_inserter(arrays_));
}

void Bridge::require_ready(const char* call) const {
  switch (state_) {
    case State::kReady:
      return;
    case State::kDefining:
      throw contract(std::string(call) + " before deisa_ready: call deisa_ready first");
    case State::kFailed:
      throw contract(std::string(call) + " after deisa_ready failed: abandon this bridge");
    case State::kClosed:
      throw contract(std::string(call) + " after close");
  }
}

uint32_t Bridge::index_of(const std::string& name) const {
  if (name != kEndMarkerArray) {
    for (size_t i = 0; i < arrays_.size(); ++i) {
      if (arrays_[i].name == name) return static_cast<uint32_t>(i);
    }
  }
  std::string known;
  for (const ArrayMetadata& array : arrays_) {
    if (array.name != kEndMarkerArray) known += (known.empty() ? "'" : ", '") + array.name + "'";
  }
  throw contract("unknown array '" + name + "': expected one that was defined on this rank: " +
                 (known.empty() ? "none was" : known))
      .at_array(name);
}

const Layout& Bridge::layout_of(const std::string& name) const {
  const ArrayMetadata& array = arrays_[index_of(name)];
  if (array.has_dtype()) return array.layout;
  throw contract("array '" + name +
                 "' was defined without a dtype, which its first chunk brings: expected one from "
                 "memory that the call describes, with its dtype and shape")
      .at_array(name);
}

void Bridge::check_dtype(const std::string& name, deisa_dtype dtype) const {
  const Layout& defined = layout_of(name);
  if (dtype == defined.dtype) return;
  throw contract("array '" + name + "': " + dtype_name(dtype) + " was given: expected " +
                 dtype_name(defined.dtype) + ", as it was defined")
      .at_array(name);
}

Layout Bridge::layout_for(const std::string& name, deisa_dtype dtype, int32_t ndim,
                          const int64_t* shape, const int64_t* strides) const {
  const ArrayMetadata& array = arrays_[index_of(name)];
  const Layout& defined = array.layout;
  const bool right = array.has_dtype() ? dtype == defined.dtype : dtype_size(dtype) > 0;
  const std::string expected = array.has_dtype() ? dtype_name(defined.dtype) : dtype_names();
  const bool readable =
      ndim >= 0 && ndim <= DEISA_MAX_DIMENSIONS && (shape != nullptr || ndim == 0);
  std::vector<int64_t> extents;
  if (readable) extents.assign(shape, shape + ndim);
  if (!readable || !right || extents != defined.shape) {
    const std::string given =
        readable ? "shape " + shape_text(extents) : std::to_string(ndim) + " dimensions";
    throw contract(
        "array '" + name + "': a chunk of " + dtype_name(dtype) + ", " + given +
        ", was given: expected " + expected + ", shape " + shape_text(defined.shape) +
        ", as it was defined" +
        (extents.size() == defined.shape.size() && extents != defined.shape ? kFixedShape : ""))
        .at_array(name);
  }
  Layout layout = Layout::contiguous(dtype, std::move(extents));
  if (strides != nullptr) layout.strides.assign(strides, strides + ndim);
  return layout;
}

void Bridge::check_step_order(int64_t timestep) const {
  if (timestep == DEISA_NO_TIMESTEP || timestep == std::numeric_limits<int64_t>::max()) {
    throw contract("timestep " + timestep_text(timestep) + " is reserved");
  }
  if (timestep < oldest_allowed_) {
    throw contract("timestep " + timestep_text(timestep) +
                   " is older than expected: this rank is at " +
                   timestep_text(std::max(newest_step_, newest_filtered_)) +
                   ", and analytics see timesteps in order: expected at least " +
                   timestep_text(oldest_allowed_))
        .at_timestep(timestep);
  }
}

void Bridge::check_order(uint32_t array, int64_t timestep) const {
  const std::string& name = arrays_[array].name;
  if (newest_[array] != DEISA_NO_TIMESTEP && timestep <= newest_[array]) {
    throw contract(
        "array '" + name + "': timestep " + timestep_text(timestep) +
        (timestep == newest_[array] ? " was sent before" : " is older than the last one") +
        ": expected more than " + timestep_text(newest_[array]))
        .at_array(name)
        .at_timestep(timestep);
  }
  try {
    check_step_order(timestep);
  } catch (Error& error) {
    throw error.at_array(name);
  }
}

void Bridge::sent(uint32_t array, int64_t timestep) {
  newest_[array] = timestep;
  if (timestep > newest_step_ || newest_step_ == DEISA_NO_TIMESTEP) ++steps_sent_;
  newest_step_ = std::max(newest_step_, timestep);
  oldest_allowed_ = std::max(oldest_allowed_, timestep);
}

Backend::Prepared Bridge::take(uint32_t array, const Source& source, int64_t timestep) {
  const auto traced = span(source.loan != nullptr ? "loan" : "copy", arrays_[array].name, timestep);
  if (source.loan != nullptr) return backend_->exchange(array, source.loan);
  return source.layout != nullptr ? backend_->prepare(array, source.data, *source.layout)
                                  : backend_->prepare(array, source.data);
}

void Bridge::learn_dtype(uint32_t array, const Source& source) {
  ArrayMetadata& metadata = arrays_[array];
  if (metadata.has_dtype()) return;
  const deisa_dtype dtype =
      (source.layout != nullptr ? *source.layout : layout_of(metadata.name)).dtype;
  const ArrayMetadata before = metadata;
  metadata.set_dtype(dtype);
  try {
    backend_->describe(array, send_deadline());
  } catch (...) {
    metadata = before;
    throw;
  }
}

// Waits until a chunk may be handed over; throws when it may not in time.
void Bridge::admit_chunk(uint32_t array, int64_t timestep, const Deadline& deadline) {
  const auto traced = span("admit", arrays_[array].name, timestep);
  if (timestep > newest_step_) {
    const bool skips =
        options_.when_full == DEISA_WHEN_FULL_SKIP;  // not without the others' consent
    const double timeout = skips ? options_.send_timeout : options_.block_timeout;
    const std::string full = backend_->admit(timestep, {array}, timeout);
    if (!full.empty()) throw not_admitted(options_, timestep, full, timeout);
  } else {  // begun, here or on another rank: it can be completed
    backend_->poll();
    backend_->wait_for_slots({array}, deadline);
  }
}

uint64_t Bridge::send_async(const std::string& name, const Source& source, int64_t timestep) {
  return request_of(hand_over_chunk(name, source, timestep));
}

uint64_t Bridge::hand_over_chunk(const std::string& name, const Source& source, int64_t timestep) {
  require_ready("send");
  if (step_ != Step::kNone) {
    throw contract("send of '" + name + "' inside the step " + timestep_text(step_timestep_) +
                   ": expected put, or end_step first")
        .at_array(name)
        .at_timestep(timestep);
  }
  const uint32_t array = index_of(name);
  check_order(array, timestep);
  if (!filters_[array].passes(timestep)) {
    filter_chunk(array, source, timestep);
    return 0;
  }
  const Deadline deadline = send_deadline();
  try {
    learn_dtype(array, source);
    admit_chunk(array, timestep, deadline);
    const Backend::Prepared chunk = take(array, source, timestep);
    // From here on the node actor may have it, whatever is reported: it is not sent again.
    sent(array, timestep);
    const auto traced = span("hand over", name, timestep);
    return backend_->hand_over(timestep, false, {chunk}, deadline);
  } catch (Error& error) {
    throw error.at_rank(options_.bridge_id).at_array(name).at_timestep(timestep);
  }
}

void Bridge::send(const std::string& name, const Source& source, int64_t timestep) {
  const TraceCall call(options_.trace.get());
  const auto traced = span("send", name, timestep);
  const uint64_t message = hand_over_chunk(name, source, timestep);
  try {
    finish_now(message, name, timestep);
  } catch (Error& error) {
    throw error.at_array(name).at_timestep(timestep);
  }
}

void Bridge::finish_now(uint64_t message, const std::string& array, int64_t timestep) {
  const auto traced = span("acknowledge", array, timestep);
  try {
    backend_->finish(message, options_.acknowledge, send_deadline());
  } catch (Error& error) {
    backend_->forget(message);
    throw error.at_rank(options_.bridge_id);
  }
}

// Requests have numbers of their own, so that one which was never given is not taken for a message.
uint64_t Bridge::request_of(uint64_t message) {
  if (message == 0) return 0;
  requests_.emplace(++newest_request_, message);
  return newest_request_;
}

uint64_t Bridge::message_of(uint64_t request) const {
  if (request > newest_request_) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "request " + std::to_string(request) +
                    " was never given by this bridge: expected one that deisa_send_from or "
                    "deisa_end_step wrote, of which there are " +
                    std::to_string(newest_request_) + ", or 0")
        .at_rank(options_.bridge_id);
  }
  const auto open = requests_.find(request);
  return open != requests_.end() ? open->second : 0;
}

void Bridge::wait(uint64_t request) {
  require_ready("wait");
  const uint64_t message = message_of(request);
  try {
    backend_->finish(message, options_.acknowledge, send_deadline());
  } catch (const Error& error) {
    if (error.status() != DEISA_ERROR_TIMEOUT) requests_.erase(request);
    throw;
  }
  requests_.erase(request);
}

bool Bridge::test(uint64_t request) {
  require_ready("test");
  return backend_->is_finished(message_of(request), options_.acknowledge, options_.send_timeout);
}

void* Bridge::loan(const std::string& name) {
  require_ready("loan");
  layout_of(name);  // throws
  return backend_->loan(index_of(name));
}

void Bridge::export_loan(const std::string& name, ArrowArray* array, ArrowSchema* schema) {
  require_ready("export");
  const Layout& layout = layout_of(name);
  export_arrow(backend_->loan(index_of(name)), packed(layout), backend_->memory(), array, schema);
}

void Bridge::export_step(ArrowArray* array, ArrowSchema* schema) const {
  require_ready("export");
  if (step_ == Step::kNone) {
    throw contract("export of a step outside one: expected begin_step and puts first");
  }
  struct Owner {
    std::shared_ptr<const void> memory;
    std::vector<std::vector<std::byte>> copies;
  };
  const auto owner = std::make_shared<Owner>(Owner{backend_->memory(), {}});
  std::vector<ArrowColumn> columns;
  for (const Backend::Prepared& chunk : step_chunks_) {
    const ArrayMetadata& metadata = arrays_[chunk.array];
    const Layout layout = backend_->layout(chunk);
    const void* data = backend_->data(chunk);
    if (!layout.is_contiguous()) {  // a part of what ranks share, which Arrow cannot describe
      owner->copies.emplace_back(layout.bytes());
      pack(layout, data, owner->copies.back().data());
      data = owner->copies.back().data();
    }
    columns.push_back({metadata.name, data, packed(layout)});
  }
  export_arrow_struct(columns, owner, array, schema);
}

bool Bridge::begin_step(int64_t timestep) {
  require_ready("begin_step");
  if (step_ == Step::kSkipped) step_ = Step::kNone;
  if (step_ != Step::kNone) {
    throw contract("begin_step(" + timestep_text(timestep) + ") inside the step " +
                   timestep_text(step_timestep_) + ": expected end_step or abandon_step first")
        .at_timestep(timestep);
  }
  check_step_order(timestep);
  // The whole step is admitted here, so that no put waits and every step that begins can end.
  const std::vector<uint32_t> due = due_arrays(timestep);
  const double timeout = is_alone() ? options_.send_timeout : options_.block_timeout;
  const auto admit = [&] {
    const auto traced = span("admit", kEveryArray, timestep);
    return due.empty() ? "" : backend_->admit(timestep, due, timeout);
  };
  try {
    if (options_.when_full == DEISA_WHEN_FULL_SKIP && !is_alone()) {
      // Without a vote where no rank has anything to send, which all know.
      if (plan_.sends_at(timestep, options_.filters) && !may_begin_together(timestep, admit)) {
        skip_step(timestep);
        return false;
      }
    } else if (const std::string full = admit(); !full.empty()) {
      throw not_admitted(options_, timestep, full, timeout);
    }
  } catch (Error& error) {
    throw error.at_rank(options_.bridge_id).at_timestep(timestep);
  }
  step_ = Step::kOpen;
  step_timestep_ = timestep;
  step_chunks_.clear();
  step_filtered_.clear();
  return true;
}

bool Bridge::may_begin_together(int64_t timestep, const std::function<std::string()>& admit) {
  // This rank, or another one, may wait for room before it votes.
  const Deadline deadline = Deadline::after(options_.block_timeout + options_.comm_timeout);
  return all_may_begin(*communicator_, admit, timestep, options_.wait_notice, deadline);
}

bool Bridge::is_alone() const {
  return options_.when_full == DEISA_WHEN_FULL_SKIP && communicator_ && communicator_->is_broken();
}

void Bridge::decline_step(int64_t timestep) noexcept {
  const bool votes = options_.when_full == DEISA_WHEN_FULL_SKIP && !is_alone() &&
                     state_ == State::kReady && step_ != Step::kOpen &&
                     timestep >= oldest_allowed_ && plan_.sends_at(timestep, options_.filters);
  if (!votes) return;
  try {
    may_begin_together(timestep, [] { return std::string("declined"); });
  } catch (...) {
    // The communicator is broken, which its next user will say.
  }
  skip_step(timestep);
  step_ = Step::kNone;
}

void Bridge::skip_step(int64_t timestep) noexcept {
  step_ = Step::kSkipped;
  step_timestep_ = timestep;
  step_chunks_.clear();
  ++steps_skipped_;
  newest_step_ = std::max(newest_step_, timestep);
  oldest_allowed_ = timestep + 1;
  try {
    backend_->promise(oldest_allowed_, send_deadline());
  } catch (...) {
    // The node actor is gone, which the next call will say.
  }
}

void Bridge::put(const std::string& name, const Source& source) {
  require_ready("put");
  const uint32_t array = index_of(name);
  if (step_ == Step::kNone) {
    throw contract("put of '" + name + "' outside a step: expected begin_step first, or send")
        .at_array(name);
  }
  if (step_ == Step::kSkipped) return;
  check_order(array, step_timestep_);
  const bool put_before =
      std::find(step_filtered_.begin(), step_filtered_.end(), array) != step_filtered_.end() ||
      std::any_of(step_chunks_.begin(), step_chunks_.end(),
                  [array](const Backend::Prepared& chunk) { return chunk.array == array; });
  if (put_before) {
    throw contract("array '" + name + "' was put before in step " + timestep_text(step_timestep_) +
                   ": expected each array once in a step")
        .at_array(name)
        .at_timestep(step_timestep_);
  }
  if (!filters_[array].passes(step_timestep_)) {
    filter_chunk(array, source, step_timestep_);
    step_filtered_.push_back(array);
    return;
  }
  try {
    learn_dtype(array, source);
    step_chunks_.push_back(take(array, source, step_timestep_));
  } catch (Error& error) {
    throw error.at_rank(options_.bridge_id).at_array(name).at_timestep(step_timestep_);
  }
}

void Bridge::end_step() {
  const TraceCall call(options_.trace.get());
  const auto traced = span("end step", kEveryArray, step_timestep_);
  const uint64_t message = hand_over_step();
  finish_now(message, kEveryArray, step_timestep_);
}

uint64_t Bridge::end_step_async() { return request_of(hand_over_step()); }

void Bridge::abandon_step() {
  require_ready("abandon_step");
  if (step_ == Step::kOpen) {
    for (const Backend::Prepared& chunk : step_chunks_) backend_->discard(chunk);
    skip_step(step_timestep_);
  }
  step_ = Step::kNone;
}

uint64_t Bridge::hand_over_step() {
  require_ready("end_step");
  if (step_ == Step::kNone) {
    throw contract("end_step outside a step: expected begin_step first");
  }
  const int64_t timestep = step_timestep_;
  const std::vector<Backend::Prepared> chunks = std::exchange(step_chunks_, {});
  if (std::exchange(step_, Step::kNone) == Step::kSkipped) return 0;
  for (const uint32_t array : step_filtered_) newest_[array] = timestep;
  for (const Backend::Prepared& chunk : chunks) sent(chunk.array, timestep);
  newest_step_ = std::max(newest_step_, timestep);
  oldest_allowed_ = timestep + 1;
  try {
    if (chunks.empty() && !step_filtered_.empty()) {
      // Nothing that would be acknowledged.
      backend_->promise(oldest_allowed_, send_deadline());
      return 0;
    }
    const auto traced = span("hand over", kEveryArray, timestep);
    return backend_->hand_over(timestep, true, chunks, send_deadline());
  } catch (Error& error) {
    throw error.at_rank(options_.bridge_id).at_timestep(timestep);
  }
}

void Bridge::flush() {
  require_ready("flush");
  backend_->flush(send_deadline());
  requests_.clear();
}

const Backend::Value& Bridge::get(const std::string& key, const deisa_get_options& options) {
  require_ready("get");
  Backend::Query query(options.timestep);
  query.wait = options.wait;
  query.all = options.all != 0;
  const auto read = [&]() -> const Backend::Value& {
    return backend_->get(key, query, Deadline::after(options.wait + kFeedbackTimeout));
  };
  if (options.collective == 0) return read();
  // Rank 0 reads; a failure there is everyone's.
  nlohmann::json message;
  if (options_.bridge_id == 0) {
    try {
      const Backend::Value& value = read();
      message = {{"found", value.found},
                 {"packed", nlohmann::json::binary(
                                std::vector<uint8_t>(value.packed.begin(), value.packed.end()))}};
    } catch (const Error& error) {
      message = {{"status", static_cast<int>(error.status())}, {"message", error.what()}};
    }
  }
  std::string encoded;
  nlohmann::json::to_msgpack(message, encoded);
  const Deadline deadline = Deadline::after(options.wait + options_.comm_timeout);
  const BlockingWaitNotice noticed(options_.wait_notice, deadline,
                                   "the other ranks to ask for '" + key + "' together",
                                   "Does every rank make this collective call?");
  message = nlohmann::json::from_msgpack(communicator_->broadcast(encoded, 0, deadline));
  if (message.contains("status")) {
    Error error(static_cast<deisa_status>(message.at("status").get<int>()),
                message.at("message").get<std::string>());
    throw error.at_rank(0);
  }
  const auto& packed = message.at("packed").get_binary();
  common_ = {message.at("found").get<bool>(), std::string(packed.begin(), packed.end())};
  return common_;
}

void Bridge::use_pickle() {
  if (state_ != State::kDefining) {
    throw contract("deisa_use_pickle after deisa_ready: call it before");
  }
  pickles_ = true;
}

void Bridge::remove(const std::string& key) {
  require_ready("delete");
  backend_->remove(key, Deadline::after(kFeedbackTimeout));
}

void Bridge::look_for_late_failures() noexcept {
  try {
    if (state_ == State::kReady) backend_->poll();
  } catch (...) {
  }
}

std::vector<Error> Bridge::take_late_failures() {
  std::vector<Error> failures = std::exchange(kept_, {});
  if (!backend_) return failures;
  for (Error& late : backend_->take_late_failures()) failures.push_back(std::move(late));
  return failures;
}

}  // namespace deisa
