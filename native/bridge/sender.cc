#include "bridge/sender.hpp"

#include <chrono>

namespace deisa {
namespace {

std::vector<size_t> chunk_sizes(const std::vector<ArrayMetadata>& arrays) {
  std::vector<size_t> sizes;
  for (const ArrayMetadata& array : arrays) sizes.push_back(array.bytes);
  return sizes;
}

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

}  // namespace

Sender::Sender(const std::vector<ArrayMetadata>& arrays, int rank, uint32_t slots_per_array)
    : arrays_(arrays), rank_(rank), slots_(chunk_sizes(arrays), slots_per_array) {}

void Sender::connect(const std::string& socket, const std::string& hello,
                     const std::vector<std::string>& definitions, const Deadline& deadline) {
  client_ = std::make_unique<Client>(socket, deadline);
  std::vector<Client::Definition> described;
  for (size_t i = 0; i < definitions.size(); ++i) {
    described.push_back({slots_.geometry(static_cast<uint32_t>(i)), definitions[i]});
  }
  client_->introduce(hello, slots_.fd(), described, deadline);
}

void Sender::wait_for_slots(const std::vector<uint32_t>& arrays, const Deadline& deadline) {
  for (const uint32_t array : arrays) {
    if (slots_.free_slots(array) > 0) continue;
    Stopwatch stopwatch(counters_.seconds_blocked);
    while (slots_.free_slots(array) == 0) {
      const auto answer = client_->receive(deadline);
      if (answer) {
        handle(*answer);
        continue;
      }
      Error error(DEISA_ERROR_TIMEOUT,
                  "no slot of array '" + arrays_[array].name +
                      "' became free: the node actor has " + std::to_string(chunks_in_flight()) +
                      " chunks of this rank that it has not yet put into the object store. Is the "
                      "store full, or the node overloaded? Raise send_timeout or max_in_flight.");
      throw error.at_rank(rank_).at_array(arrays_[array].name);
    }
  }
}

Sender::Prepared Sender::prepare(uint32_t array, const void* data) {
  return prepare(array, data, arrays_[array].layout);
}

Sender::Prepared Sender::prepare(uint32_t array, const void* data, const Layout& layout) {
  const uint32_t slot = slots_.acquire(array);
  if (slot == wire::kNone) {
    throw Error(DEISA_ERROR_INTERNAL, "no free slot after waiting for one").at_rank(rank_);
  }
  counters_.bytes_copied += static_cast<int64_t>(pack(layout, data, slots_.data(array, slot)));
  return {array, slot};
}

void Sender::discard(const Prepared& chunk) { slots_.release(chunk.array, chunk.slot); }

void Sender::hand_over(int64_t timestep, bool last_of_step, const std::vector<Prepared>& chunks,
                       deisa_acknowledge level, const Deadline& deadline) {
  Stopwatch stopwatch(counters_.seconds_blocked);
  std::vector<wire::Item> items;
  items.reserve(chunks.size());
  for (const Prepared& chunk : chunks) items.push_back({chunk.array, chunk.slot});
  uint64_t sequence = 0;
  try {
    sequence = client_->send_step(timestep, last_of_step, items, deadline);
  } catch (...) {
    for (const Prepared& chunk : chunks) discard(chunk);
    throw;
  }
  Message message;
  message.timestep = timestep;
  message.chunks = chunks.size();
  messages_.emplace(sequence, std::move(message));
  for (const Prepared& chunk : chunks) {
    ++counters_.chunks_sent;
    counters_.bytes_sent += static_cast<int64_t>(arrays_[chunk.array].bytes);
  }
  wait_until(sequence, level, deadline);
}

void Sender::promise(int64_t timestep, const Deadline& deadline) {
  client_->send_progress(timestep, deadline);
}

void Sender::wait_until(uint64_t sequence, deisa_acknowledge level, const Deadline& deadline) {
  const auto reached = [level](const Message& m) {
    if (!m.failures.empty()) return true;
    if (!m.received) return false;
    if (level == DEISA_RECEIVED) return true;
    return (level == DEISA_STORED ? m.stored : m.announced) + m.failed >= m.chunks;
  };
  messages_.at(sequence).waited_for = true;
  while (true) {
    const auto it = messages_.find(sequence);
    if (it == messages_.end()) return;
    Message& message = it->second;
    if (reached(message)) {
      message.waited_for = false;
      if (message.failures.empty()) {
        if (message.announced + message.failed >= message.chunks) messages_.erase(it);
        return;
      }
      const Error error = message.failures.front();
      for (size_t i = 1; i < message.failures.size(); ++i) {
        late_failures_.push_back(message.failures[i]);
      }
      message.failures.clear();
      if (message.announced + message.failed >= message.chunks) messages_.erase(it);
      throw error;
    }
    const auto answer = client_->receive(deadline);
    if (answer) {
      handle(*answer);
      continue;
    }
    message.waited_for = false;
    const char* what = level == DEISA_RECEIVED ? "received"
                       : level == DEISA_STORED ? "stored"
                                               : "announced";
    throw late(what, deadline, &message);
  }
}

Error Sender::late(const char* what, const Deadline&, const Message* message) const {
  std::string text = "the node actor has not said in time that ";
  text += message != nullptr ? "timestep " + std::to_string(message->timestep) + " is "
                             : std::to_string(messages_.size()) + " messages are ";
  text += what;
  text +=
      ". The data are still with it. Is the node overloaded, or does another rank of this node not "
      "send this timestep? Raise send_timeout if it needs longer.";
  Error error(DEISA_ERROR_TIMEOUT, text);
  error.at_rank(rank_);
  if (message != nullptr) error.at_timestep(message->timestep);
  return error;
}

void Sender::flush(const Deadline& deadline) {
  Stopwatch stopwatch(counters_.seconds_blocked);
  while (!messages_.empty()) {
    const auto answer = client_->receive(deadline);
    if (!answer) throw late("announced", deadline, &messages_.begin()->second);
    handle(*answer);
  }
}

void Sender::end(int64_t timestep, const Deadline& deadline) {
  const uint64_t sequence = client_->send_end(timestep, deadline);
  Message message;
  message.timestep = timestep;
  message.chunks = 1;
  message.received = true;
  message.stored = 1;
  messages_.emplace(sequence, std::move(message));
  wait_until(sequence, DEISA_ANNOUNCED, deadline);
}

void Sender::leave(bool closed) noexcept {
  if (client_) client_->send_bye(closed);
}

Client::Value Sender::get(const std::string& key, int64_t timestep, const Deadline& deadline) {
  return client_->get(key, timestep, deadline);
}

void Sender::remove(const std::string& key, const Deadline& deadline) {
  client_->remove(key, deadline);
}

void Sender::poll() {
  while (const auto answer = client_->poll()) handle(*answer);
}

std::vector<Error> Sender::take_late_failures() { return std::exchange(late_failures_, {}); }

void Sender::handle(const Client::Answer& answer) {
  const wire::Header& header = answer.header;
  if (header.kind == wire::Kind::kNotice) {
    Error error(static_cast<deisa_status>(header.status), answer.text);
    late_failures_.push_back(error.at_rank(rank_));
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
      ++counters_.chunks_stored;
      slots_.release(header.array, header.slot);
      break;
    case wire::Kind::kAnnounced:
      ++message.announced;
      ++counters_.chunks_announced;
      break;
    case wire::Kind::kFailed:
      fail(message, answer);
      break;
    default:
      break;
  }
  const bool done = message.received && message.announced + message.failed >= message.chunks;
  if (done && !message.waited_for) messages_.erase(it);
}

void Sender::fail(Message& message, const Client::Answer& answer) {
  const wire::Header& header = answer.header;
  if (header.slot != wire::kNone) {
    slots_.release(header.array, header.slot);
    ++failed_unstored_;
  }
  if (header.status != DEISA_ERROR_TIMEOUT) {
    ++message.failed;
    ++counters_.chunks_failed;
  }
  Error error(static_cast<deisa_status>(header.status), answer.text);
  error.at_rank(rank_).at_timestep(message.timestep);
  if (header.array < arrays_.size()) error.at_array(arrays_[header.array].name);
  if (message.waited_for) {
    message.failures.push_back(error);
  } else {
    late_failures_.push_back(error);
  }
}

}  // namespace deisa
