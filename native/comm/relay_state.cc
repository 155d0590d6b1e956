#include "comm/relay_state.hpp"

#include <unistd.h>

#include <utility>

#include "comm/rank_ranges.hpp"

namespace deisa::store {
namespace {

// Bytes of the store's values that are kept for ranks that ask later.
constexpr size_t kMostKept = size_t{1} << 20;

// A frame as it was received, without its length, to be passed on.
std::string passed_on(std::string_view frame) {
  return Encoder(static_cast<Type>(frame.front())).raw(frame.substr(1)).frame();
}

}  // namespace

RelayState::RelayState(const StoreOptions& options,
                       std::function<void(uint64_t, const std::string&)> send)
    : options_(options), secret_(options.secret), send_(std::move(send)) {}

void RelayState::add_own(uint64_t line) {
  own_ = line;
  lines_[line] = {options_.rank, static_cast<int32_t>(::getpid()), true, false, false};
}

Admission RelayState::hello(uint64_t id, std::string_view frame) {
  const auto [hello, wrong, undecided] = secret_.look(id, frame);
  if (hello.version != kVersion) throw Malformed("not a rank of this version");
  if (hello.size != options_.size || hello.rank < 0 || hello.rank >= hello.size ||
      hello.node != options_.node || wrong) {
    // Which of the two is right, rank 0 knows.
    send_(id, Encoder(Type::kElsewhere).frame());
    return Admission::kRefused;
  }
  if (undecided) {
    send_(id, secret_.challenge(id, frame));
    return Admission::kUndecided;
  }
  if (!failure_.empty()) {
    send_(id, failure_);
    return Admission::kRefused;
  }
  lines_[id] = {hello.rank, hello.process, false, false, false};
  send_(id, upstream_ == 0 ? waiting(problem_) : welcome());
  unreported_.push_back(id);
  return Admission::kAdmitted;
}

std::string RelayState::waiting(const std::string& problem) const {
  return Encoder(Type::kWaiting).i32(options_.rank).text(problem).frame();
}

std::string RelayState::welcome() const {
  return Encoder(Type::kWelcome).i32(options_.rank).frame();
}

void RelayState::reached(uint64_t upstream, const std::string& own) {
  upstream_ = upstream;
  own_address_ = own;
  send_(upstream_, Encoder(Type::kRendezvous).frame());  // for whoever asks
  for (const auto& one : lines_) {
    if (one.first != own_) send_(one.first, welcome());
  }
}

void RelayState::note_problem(const std::string& problem) {
  if (problem == problem_) return;
  problem_ = problem;
  for (const auto& one : lines_) {
    if (one.first != own_) send_(one.first, waiting(problem_));
  }
}

void RelayState::report() {
  if (upstream_ == 0 || !failure_.empty() || unreported_.empty()) return;
  Encoder came(Type::kCame);
  std::vector<std::pair<uint64_t, Line*>> all;
  for (const uint64_t id : unreported_) {
    const auto found = lines_.find(id);
    if (found != lines_.end()) all.emplace_back(id, &found->second);
  }
  unreported_.clear();
  came.u32(static_cast<uint32_t>(all.size()));
  for (const auto& [id, line] : all) {
    came.u64(id).i32(line->rank).i32(line->process);
    line->known = true;
  }
  if (!all.empty()) send_(upstream_, came.frame());
}

bool RelayState::request(uint64_t connection, std::string_view frame) {
  if (connection == upstream_) {
    from_store(frame);
    return true;
  }
  const auto found = lines_.find(connection);
  if (found == lines_.end()) return false;  // failed meanwhile
  return from_line(connection, found->second, frame);
}

bool RelayState::from_line(uint64_t id, Line& line, std::string_view frame) {
  Decoder decoder(frame);
  const auto type = static_cast<Type>(decoder.u8());
  if (upstream_ == 0) throw Malformed("a request before the welcome");
  switch (type) {
    case Type::kBye:
      decoder.end();
      lines_.erase(id);
      return false;
    case Type::kGiveUp: {
      if (decoder.i32() != line.rank) throw Malformed("another rank's");
      report();  // the store is to know of it
      own_gave_up_ = own_gave_up_ || id == own_;
      send_(upstream_, passed_on(frame));
      // If nothing else comes, it is rank 0 that does not answer.
      send_(id, waiting(""));
      return true;
    }
    case Type::kRendezvous:
      decoder.end();
      line.in_rendezvous = complete_.empty();
      if (!line.in_rendezvous) send_(id, complete_);
      return true;
    case Type::kSet:
      send_(upstream_, passed_on(frame));
      send_(id, Encoder(Type::kDone).frame());
      return true;
    case Type::kGet:
      get(id, line, frame, decoder);
      return true;
    case Type::kExchange: {
      const uint32_t place = decoder.u32();
      if (line.waiting || exchanging_.count(place) != 0) throw Malformed("a second exchange");
      line.waiting = true;
      exchanging_[place] = id;
      send_(upstream_, passed_on(frame));
      return true;
    }
    default:
      throw Malformed("an unknown request");
  }
}

// The ranks of a node ask for the same keys: the store is asked once.
void RelayState::get(uint64_t id, Line& line, std::string_view frame, Decoder& decoder) {
  std::string key(decoder.text(kMaxKey));
  decoder.end();
  if (line.waiting) throw Malformed("a second request before an answer");
  const auto known = values_.find(key);
  if (known != values_.end()) {
    send_(id, known->second);
    return;
  }
  line.waiting = true;
  std::vector<uint64_t>& asking = waiting_[std::move(key)];
  asking.push_back(id);
  if (asking.size() == 1) send_(upstream_, passed_on(frame));
}

void RelayState::answer(uint64_t id, const std::string& frame) {
  const auto line = lines_.find(id);
  if (line == lines_.end()) return;
  line->second.waiting = false;
  send_(id, frame);
}

void RelayState::from_store(std::string_view frame) {
  Decoder decoder(frame);
  switch (static_cast<Type>(decoder.u8())) {
    case Type::kComplete: {
      const std::string_view host = decoder.text();
      (void)decoder.text();
      complete_ =
          Encoder(Type::kComplete).text(host).text(own_address_).raw(decoder.rest()).frame();
      for (auto& [id, line] : lines_) {
        if (line.in_rendezvous) send_(id, complete_);
        line.in_rendezvous = false;
      }
      return;
    }
    case Type::kDone:
      return;
    case Type::kValue: {
      const std::string key(decoder.text(kMaxKey));
      const std::string value = passed_on(frame);
      const auto asking = waiting_.find(key);
      if (asking == waiting_.end()) return;
      const std::vector<uint64_t> lines = std::move(asking->second);
      waiting_.erase(asking);
      if (value_bytes_ + value.size() <= kMostKept) {
        value_bytes_ += value.size();
        values_[key] = value;
      }
      for (const uint64_t id : lines) answer(id, value);
      return;
    }
    case Type::kExchanged: {
      const auto asking = exchanging_.find(decoder.u32());
      if (asking == exchanging_.end()) return;
      const uint64_t id = asking->second;
      exchanging_.erase(asking);
      answer(id, passed_on(frame));
      return;
    }
    case Type::kRefused: {
      const uint64_t id = decoder.u64();
      if (lines_.erase(id) == 0) return;
      send_(id, Encoder(Type::kFailed).raw(decoder.rest()).frame());
      return;
    }
    case Type::kFailed:
      fail_with(passed_on(frame));
      return;
    default:
      throw Malformed("an unknown answer");
  }
}

void RelayState::gone(uint64_t connection) {
  secret_.forget(connection);
  if (connection == upstream_) {
    fail({DEISA_ERROR_COMMUNICATOR,
          false,
          "the connection to rank 0 ended: rank 0 crashed, was killed, or gave up; see its output",
          {}});
    return;
  }
  const auto found = lines_.find(connection);
  if (found == lines_.end()) return;
  const bool known = found->second.known && connection != own_;
  lines_.erase(found);
  if (connection == own_) {
    const std::string relay = "rank " + std::to_string(options_.rank) + ", the relay of this node,";
    if (own_gave_up_) {  // and the store has not answered that
      fail({DEISA_ERROR_TIMEOUT,
            false,
            "rank 0 has stopped answering, and " + relay +
                " has given up; rank 0 may be suspended, or its machine is down",
            {}});
    } else {
      fail({DEISA_ERROR_COMMUNICATOR, false, relay + " has given up; see its output", {}});
    }
  }
  if (known && failure_.empty()) send_(upstream_, Encoder(Type::kLeft).u64(connection).frame());
}

void RelayState::fail(const Failure& failure) {
  fail_with(Encoder(Type::kFailed).failure(failure).frame());
}

void RelayState::give_up(const std::string& reason) {
  if (upstream_ != 0 && failure_.empty()) {
    send_(upstream_, Encoder(Type::kGiveUp).i32(options_.rank).u8(0).text(reason).frame());
  } else {
    fail({DEISA_ERROR_RESOURCE,
          false,
          "rank " + std::to_string(options_.rank) + " gave up: " + reason,
          {}});
  }
}

void RelayState::fail_with(const std::string& frame) {
  if (!failure_.empty()) return;
  failure_ = frame;
  for (const auto& one : lines_) send_(one.first, failure_);
  lines_.clear();
  waiting_.clear();
  exchanging_.clear();
}

void RelayState::say_goodbye() {
  if (upstream_ != 0 && failure_.empty()) send_(upstream_, Encoder(Type::kBye).frame());
}

RankRanges RelayState::ranks() const {
  std::vector<int> all;
  for (const auto& one : lines_) all.push_back(one.second.rank);
  return rank_ranges(std::move(all));
}

std::vector<uint64_t> RelayState::lines() const {
  std::vector<uint64_t> all;
  for (const auto& one : lines_) all.push_back(one.first);
  return all;
}

}  // namespace deisa::store
