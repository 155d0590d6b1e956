#include "backend/ray/ray_backend.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <utility>

#include "base/while_waiting.hpp"

namespace deisa {
namespace {

constexpr const char* kReached[] = {"received", "stored", "announced"};

WaitNotice::Text for_step(int64_t timestep, deisa_acknowledge level) {
  return {
      "the node actor to say that timestep " + std::to_string(timestep) + " is " + kReached[level],
      level == DEISA_ACK_RECEIVED
          ? "Is the node overloaded?"
          : "Does every rank send this timestep, and have the analytics room for it?"};
}

// Seconds that the node actor may take to say whether a timestep may begin now: it may have to look
// at the object store or to ask the head actor first.
constexpr double kAnswerTimeout = 5.0;
constexpr size_t kKnownCauses = 64;

// Runs of timesteps that are listed; the others are counted.
constexpr size_t kListedRuns = 8;

// "timesteps 3, 5 to 9": of ascending timesteps.
std::string timesteps_text(const std::vector<int64_t>& timesteps) {
  std::string text = timesteps.size() == 1 ? "timestep " : "timesteps ";
  size_t runs = 0;
  for (size_t first = 0, next = 0; first < timesteps.size(); first = next, ++runs) {
    if (runs == kListedRuns) {
      return text + " and " + std::to_string(timesteps.size() - first) + " more, up to " +
             std::to_string(timesteps.back());
    }
    for (next = first + 1; next < timesteps.size() && timesteps[next] == timesteps[next - 1] + 1;) {
      ++next;
    }
    if (runs > 0) text += ", ";
    text += std::to_string(timesteps[first]);
    if (next - first > 1) text += " to " + std::to_string(timesteps[next - 1]);
  }
  return text;
}

}  // namespace

template <typename Work>
auto RayBackend::talk(const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (!client_->is_gone()) throw;
    if (lost_.empty()) lose_all();
    Error told(error.status(), std::string(error.what()) + ". " + lost_);
    throw told.at_rank(rank_).at_array(error.array()).at_timestep(error.timestep()).for_good();
  }
}

void RayBackend::lose_all() {
  try {
    while (const auto answer = client_->poll()) handle(*answer);
  } catch (const Error&) {
    // Everything that it had said has been read.
  }
  std::map<uint32_t, std::vector<int64_t>> lost;
  for (const auto& [sequence, message] : messages_) {
    for (const uint32_t array : message.open) lost[array].push_back(message.timestep);
    counters_.chunks_lost += static_cast<int64_t>(message.open.size());
    failed_unstored_ += static_cast<int64_t>(message.unstored);
  }
  for (auto& [array, timesteps] : lost) {
    std::sort(timesteps.begin(), timesteps.end());
    lost_ += (lost_.empty() ? "Lost with it: array '" : "; array '") + arrays_[array].name + "', " +
             timesteps_text(timesteps);
  }
  if (lost_.empty()) lost_ = "Everything that was sent had been announced";
  if (newest_announced_ != DEISA_NO_TIMESTEP) {
    lost_ += ". Of what had been announced, up to timestep " + std::to_string(newest_announced_) +
             ", those chunks are lost that the analytics had not read";
  }
  if (!log_.empty()) lost_ += ". See its log, " + log_;
}

void RayBackend::connect(const std::string& socket, const std::string& hello,
                         const std::vector<std::string>& definitions, const Deadline& deadline) {
  client_ = std::make_unique<Client>(socket, deadline);
  std::vector<Client::Definition> described;
  for (size_t i = 0; i < definitions.size(); ++i) {
    described.push_back({slots_.geometry(static_cast<uint32_t>(i)), definitions[i]});
  }
  client_->introduce(hello, slots_.fd(), described, deadline);
}

void RayBackend::share(uint32_t array, const Box& box, const Deadline& deadline) {
  const ArrayMetadata& metadata = arrays_[array];
  const size_t element = metadata.bytes / metadata.layout.elements();
  wire::SharedSlots slots{};
  slots.stride = round_to_pages(Layout{DEISA_INT8, box.shape, {}, 0}.elements() * element);
  slots.count = max_in_flight_ + 1;
  // One rank's chunks have one place in the grid of boxes: with it the name is that of one box.
  const std::string name = metadata.name + " " + shape_text(box.position);
  Backend::share(array, client_->share(array, slots, name, deadline).get(), slots, box);
}

void RayBackend::describe(uint32_t array, const Deadline& deadline) {
  const ArrayMetadata& metadata = arrays_[array];
  wire::SlotGeometry geometry = slots_.geometry(array);
  geometry.bytes = metadata.bytes;
  const std::string dtype = dtype_name(metadata.layout.dtype);
  talk([&] { client_->describe(array, {geometry, R"({"dtype": ")" + dtype + "\"}"}, deadline); });
}

std::string RayBackend::admit(int64_t timestep, const std::vector<uint32_t>& arrays,
                              double timeout) {
  poll();
  const auto full = std::find_if(arrays.begin(), arrays.end(), [this](uint32_t array) {
    return in_flight(array) >= max_in_flight_;
  });
  if (full == arrays.end() && client_->gate().admits(timestep)) return "";
  Stopwatch stopwatch(counters_.seconds_blocked);
  const auto begun = Deadline::Clock::now();
  const Deadline deadline = Deadline::after(timeout);
  const Client::Noticed noticed(*client_, notice_after_, deadline, [&]() -> WaitNotice::Text {
    const std::string& reason = client_->gate().reason;
    return {"room for timestep " + std::to_string(timestep) + (reason.empty() ? "" : ": " + reason),
            "Are the analytics running, and as fast as the simulation? With when_full = skip the "
            "simulation goes on without the timestep."};
  });
  for (const uint32_t array : arrays) {
    while (in_flight(array) >= max_in_flight_) {
      const auto answer = receive(deadline);
      if (!answer) {
        return std::to_string(in_flight(array)) + " chunks of array '" + arrays_[array].name +
               "' are not in the object store yet, and max_in_flight is " +
               std::to_string(max_in_flight_) + ": " + why_not_stored(array, begun);
      }
      handle(*answer);
    }
  }
  const Client::Gate& gate = client_->gate();
  if (gate.admits(timestep)) return "";
  const bool waits = timeout > 0;
  const auto asks = Deadline::Clock::now();
  const Deadline answer = Deadline::after(kAnswerTimeout);
  const uint64_t asked = talk([&] {
    const uint64_t question = client_->send_ask(timestep, waits, waits ? deadline : answer);
    client_->wait_for_gate(timestep, waits ? 0 : question, waits ? deadline : answer);
    return question;
  });
  if (gate.admits(timestep)) return "";
  // What it said before may not be so any more.
  const std::string silence = client_->explain_silence(asks);
  if (!silence.empty() && gate.answered < asked) return silence;
  return gate.reason.empty() ? "the node actor does not admit it" : gate.reason;
}

std::string RayBackend::why_not_stored(uint32_t array, Deadline::Clock::time_point since) const {
  // What waits for other ranks gets no answer, however well the node actor is.
  const std::string silence =
      boxes_[array] ? client_->why_stopped() : client_->explain_silence(since);
  if (!silence.empty()) return silence;
  return !boxes_[array]
             ? "the node actor answers: is the object store full, or the node overloaded?"
             : "the node actor answers: with aggregate it waits for the chunks of other ranks of "
               "this "
               "node; have they not sent them, or is the object store full?";
}

void RayBackend::wait_for_slots(const std::vector<uint32_t>& arrays, const Deadline& deadline) {
  for (const uint32_t array : arrays) {
    if (in_flight(array) < max_in_flight_) continue;
    Stopwatch stopwatch(counters_.seconds_blocked);
    const Client::Noticed noticed(*client_, notice_after_, deadline, [&]() -> WaitNotice::Text {
      return {"a slot of array '" + arrays_[array].name + "'", "Is the node overloaded?"};
    });
    const auto begun = Deadline::Clock::now();
    while (in_flight(array) >= max_in_flight_) {
      const auto answer = receive(deadline);
      if (answer) {
        handle(*answer);
        continue;
      }
      Error error(DEISA_ERROR_TIMEOUT,
                  "no slot of array '" + arrays_[array].name +
                      "' became free: the node actor has " + std::to_string(in_flight(array)) +
                      " chunks of it that are not yet in the object store; " +
                      why_not_stored(array, begun) + ". Raise send_timeout or max_in_flight.");
      throw error.at_rank(rank_).at_array(arrays_[array].name);
    }
  }
}

uint64_t RayBackend::hand_over(int64_t timestep, bool last_of_step,
                               const std::vector<Prepared>& chunks, const Deadline& deadline) {
  Stopwatch stopwatch(counters_.seconds_blocked);
  std::vector<wire::Item> items;
  items.reserve(chunks.size());
  for (const Prepared& chunk : chunks) items.push_back({chunk.array, chunk.slot});
  uint64_t sequence = 0;
  try {
    sequence = talk([&] { return client_->send_step(timestep, last_of_step, items, deadline); });
  } catch (...) {
    for (const Prepared& chunk : chunks) discard(chunk);
    throw;
  }
  Message message;
  message.timestep = timestep;
  message.chunks = message.unstored = chunks.size();
  for (const Prepared& chunk : chunks) message.open.push_back(chunk.array);
  messages_.emplace(sequence, std::move(message));
  for (const Prepared& chunk : chunks) {
    ++counters_.chunks_sent;
    counters_.bytes_sent += static_cast<int64_t>(arrays_[chunk.array].bytes);
  }
  return sequence;
}

void RayBackend::promise(int64_t timestep, const Deadline& deadline) {
  talk([&] { client_->send_progress(timestep, deadline); });
}

bool RayBackend::has_reached(const Message& message, deisa_acknowledge level) {
  if (!message.failures.empty()) return true;
  if (!message.received) return false;
  if (level == DEISA_ACK_RECEIVED) return true;
  return (level == DEISA_ACK_STORED ? message.stored : message.announced) + message.failed >=
         message.chunks;
}

bool RayBackend::is_over(const Message& message) {
  return message.received && message.announced + message.failed >= message.chunks;
}

void RayBackend::finish(uint64_t sequence, deisa_acknowledge level, const Deadline& deadline) {
  Stopwatch stopwatch(counters_.seconds_blocked);
  int64_t timestep = DEISA_NO_TIMESTEP;
  const Client::Noticed noticed(*client_, notice_after_, deadline,
                                [&] { return for_step(timestep, level); });
  const auto begun = Deadline::Clock::now();
  while (true) {
    const auto it = messages_.find(sequence);
    if (it == messages_.end()) return;
    timestep = it->second.timestep;
    Message& message = it->second;
    if (has_reached(message, level)) {
      const std::vector<Error> failures = std::exchange(message.failures, {});
      forget(sequence);
      if (failures.empty()) return;
      late_failures_.insert(late_failures_.end(), failures.begin() + 1, failures.end());
      throw failures.front();
    }
    const auto answer = receive(deadline);
    if (!answer) {
      throw late(level, message, begun);
    }
    handle(*answer);
    WhileWaiting::run();
  }
}

bool RayBackend::is_finished(uint64_t sequence, deisa_acknowledge level, double timeout) {
  poll();
  const auto it = messages_.find(sequence);
  if (it == messages_.end() || has_reached(it->second, level)) return true;
  const auto now = Deadline::Clock::now();
  const auto since = it->second.since;
  if (std::chrono::duration<double>(now - since).count() > timeout) {
    it->second.since = now;
    throw late(level, it->second, since);
  }
  return false;
}

void RayBackend::forget(uint64_t sequence) {
  const auto it = messages_.find(sequence);
  if (it == messages_.end()) return;
  it->second.awaited = false;
  if (is_over(it->second)) messages_.erase(it);
}

Error RayBackend::late(deisa_acknowledge level, const Message& message,
                       Deadline::Clock::time_point since) const {
  // Once all is stored, it has nothing to say until the chunks of the others are there.
  const bool stored = message.received && message.stored + message.failed >= message.chunks;
  const std::string silence = stored ? client_->why_stopped() : client_->explain_silence(since);
  const std::string text =
      "the node actor has not said in time that timestep " + std::to_string(message.timestep) +
      " is " + kReached[level] + ". The data are kept for it. " +
      (silence.empty() ? "Is the node overloaded, or does another rank of this node not send this "
                         "timestep? Raise send_timeout if it needs longer."
                       : silence + ".");
  Error error(DEISA_ERROR_TIMEOUT, text);
  return error.at_rank(rank_).at_timestep(message.timestep);
}

void RayBackend::flush(const Deadline& deadline) {
  Stopwatch stopwatch(counters_.seconds_blocked);
  int64_t timestep = DEISA_NO_TIMESTEP;
  const Client::Noticed noticed(*client_, notice_after_, deadline,
                                [&] { return for_step(timestep, DEISA_ACK_ANNOUNCED); });
  // Nobody waits for these any more: what fails of them is reported when it does.
  for (auto& [sequence, message] : messages_) {
    message.awaited = false;
    for (Error& failure : message.failures) late_failures_.push_back(failure.of_earlier_call());
    message.failures.clear();
  }
  const auto begun = Deadline::Clock::now();
  while (true) {
    WhileWaiting::run();
    const auto open = std::find_if(messages_.begin(), messages_.end(),
                                   [](const auto& one) { return !is_over(one.second); });
    if (open == messages_.end()) break;
    timestep = open->second.timestep;
    const auto answer = receive(deadline);
    if (!answer) throw late(DEISA_ACK_ANNOUNCED, open->second, begun);
    handle(*answer);
  }
  messages_.clear();
}

void RayBackend::end(int64_t timestep, const Deadline& deadline) {
  const uint64_t sequence = talk([&] { return client_->send_end(timestep, deadline); });
  Message message;
  message.timestep = timestep;
  message.chunks = 1;
  message.is_end = true;
  message.received = true;
  message.stored = 1;
  messages_.emplace(sequence, std::move(message));
  finish(sequence, DEISA_ACK_ANNOUNCED, deadline);
}

void RayBackend::leave(bool closed) noexcept {
  if (client_) client_->send_bye(closed);
}

const Client::Value& RayBackend::get(const std::string& key, const Client::Query& query,
                                     const Deadline& deadline) {
  const Client::Noticed noticed(*client_, notice_after_, deadline, [&]() -> WaitNotice::Text {
    if (query.wait <= 0) {
      return {"the node actor to say what the analytics have set for '" + key + "'",
              "Is the node overloaded?"};
    }
    const bool any = query.timestep == DEISA_LATEST;
    return {"the analytics to set '" + key + "'" +
                (any ? "" : " for timestep " + std::to_string(query.timestep)),
            "Has every rank sent the timestep with whose result they set it?"};
  });
  return *talk([&] { return &client_->get(key, query, deadline); });
}

void RayBackend::remove(const std::string& key, const Deadline& deadline) {
  talk([&] { client_->remove(key, deadline); });
}

std::optional<Client::Answer> RayBackend::receive(const Deadline& deadline) {
  return talk([&] { return client_->receive(deadline); });
}

void RayBackend::poll() {
  talk([this] {
    while (const auto answer = client_->poll()) handle(*answer);
  });
}

std::vector<Error> RayBackend::take_late_failures() { return std::exchange(late_failures_, {}); }

void RayBackend::handle(const Client::Answer& answer) {
  const wire::Header& header = answer.header;
  if (header.kind == wire::Kind::kNotice && header.status == DEISA_OK) {
    std::fprintf(stderr, "deisa: rank %d: %s\n", rank_, answer.text.c_str());
    return;
  }
  if (header.kind == wire::Kind::kNotice) {
    const bool is_final = (header.flags & wire::kFinal) != 0;
    over_ = over_ || is_final;
    if (is_known_cause(answer.text)) return;  // some of its chunks have failed for it
    Error error(static_cast<deisa_status>(header.status), answer.text);
    error.at_rank(rank_).of_earlier_call();
    if (is_final) error.for_good();
    late_failures_.push_back(error);
    return;
  }
  const auto it = messages_.find(header.sequence);
  if (it == messages_.end()) return;
  Message& message = it->second;
  switch (header.kind) {
    case wire::Kind::kReceived:
      message.received = true;
      break;
    case wire::Kind::kStored:
      ++message.stored;
      --message.unstored;
      ++counters_.chunks_stored;
      slots_.release(header.array, header.slot);
      break;
    case wire::Kind::kAnnounced:
      ++message.announced;
      if (message.is_end) break;
      ++counters_.chunks_announced;
      close(message, header.array);
      newest_announced_ = std::max(newest_announced_, message.timestep);
      break;
    case wire::Kind::kFailed:
      fail(message, answer);
      break;
    default:
      break;
  }
  if (is_over(message) && !message.awaited) messages_.erase(it);
}

// The node actor says the same of all chunks that fail for one cause.
bool RayBackend::is_known_cause(const std::string& text) {
  if (std::find(causes_.begin(), causes_.end(), text) != causes_.end()) return true;
  causes_.push_back(text);
  if (causes_.size() > kKnownCauses) causes_.pop_front();
  return false;
}

void RayBackend::fail(Message& message, const Client::Answer& answer) {
  const wire::Header& header = answer.header;
  if (header.slot != wire::kNone) {
    slots_.release(header.array, header.slot);
    ++failed_unstored_;
    --message.unstored;
  }
  if (header.status != DEISA_ERROR_TIMEOUT) {
    ++message.failed;
    if (!message.is_end) ++counters_.chunks_failed;
    close(message, header.array);
  }
  Error error(static_cast<deisa_status>(header.status), answer.text);
  error.at_rank(rank_).at_timestep(message.timestep);
  if (header.status == DEISA_ERROR_CONNECTION && is_known_cause(answer.text))
    error.of_known_cause();
  if (header.array < arrays_.size()) error.at_array(arrays_[header.array].name);
  if (over_ && header.status == DEISA_ERROR_CONNECTION) error.for_good();
  if (message.awaited) {
    message.failures.push_back(error);
  } else {
    late_failures_.push_back(error.of_earlier_call());
  }
}

void RayBackend::close(Message& message, uint32_t array) {
  const auto one = std::find(message.open.begin(), message.open.end(), array);
  if (one != message.open.end()) message.open.erase(one);
}

}  // namespace deisa
