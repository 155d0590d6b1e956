#include "comm/store_state.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace deisa::store {
namespace {

// Bytes of text about who was refused, after which no more is added.
constexpr size_t kMostRefused = 400;
// What one key costs beside its bytes.
constexpr size_t kPerKey = 128;

// Takes the same time wherever the texts differ.
bool equal_in_constant_time(std::string_view given, std::string_view expected) {
  size_t difference = given.size() ^ expected.size();
  for (size_t i = 0; i < kMaxSecret; ++i) {
    const char left = i < given.size() ? given[i] : '\0';
    const char right = i < expected.size() ? expected[i] : '\0';
    difference |= static_cast<unsigned char>(left ^ right);
  }
  return difference == 0;
}

// How likely ranks on other machines reach an address.
int quality(const Address& address) {
  if (address.is_loopback()) return address.family() == AF_INET ? 2 : 1;
  if (address.is_link_local()) return 0;
  return address.family() == AF_INET ? 4 : 3;
}

std::string rank_text(int rank, int size) {
  return "rank " + std::to_string(rank) + " of " + std::to_string(size);
}

}  // namespace

State::State(int size, std::string secret, size_t max_bytes,
             std::function<void(uint64_t, const std::string&)> send)
    : size_(size),
      secret_(std::move(secret)),
      max_bytes_(max_bytes),
      send_(std::move(send)),
      connection_of_(static_cast<size_t>(size), 0),
      came_(static_cast<size_t>(size), false) {}

bool State::hello(uint64_t connection, std::string_view frame, const std::string& from,
                  const std::optional<Address>& reached) {
  Decoder decoder(frame);
  const auto type = static_cast<Type>(decoder.u8());
  if ((type != Type::kHello && type != Type::kProbe) || decoder.raw(kMagic.size()) != kMagic) {
    throw Malformed("not a rank of deisa");
  }
  if (type == Type::kProbe) {
    send_(connection, Encoder(Type::kHost)
                          .i32(static_cast<int32_t>(::getpid()))
                          .u8(failed() ? 1 : 0)
                          .text(refused_)
                          .attendance(attendance())
                          .frame());
    return false;
  }
  const uint16_t version = decoder.u16();
  std::string who = "the process at " + from;
  // It may be nobody of ours: only it is told, and rank 0 keeps it in mind for when a rank is
  // missed.
  const auto refuse = [&](deisa_status status, const std::string& reason) {
    send_(connection, failure_frame(status, false, "rank 0 " + reason));
    if (refused_.size() < kMostRefused) {
      refused_ += (refused_.empty() ? "" : "; ") + who + " was refused: rank 0 " + reason;
    }
    return false;
  };
  if (version != kVersion) {
    return refuse(DEISA_ERROR_UNSUPPORTED,
                  "speaks version " + std::to_string(kVersion) + " of the rendezvous, not " +
                      std::to_string(version) + ": use the same libdeisa_gloo.so everywhere");
  }
  const int rank = decoder.i32();
  const int size = decoder.i32();
  const std::string process = "process " + std::to_string(decoder.i32()) + " at " + from;
  who = process + ", which came as " + rank_text(rank, size) + ",";
  const std::string_view secret = decoder.text(kMaxSecret);
  decoder.end();
  if (!equal_in_constant_time(secret, secret_)) {
    return refuse(DEISA_ERROR_ARGUMENT,
                  "has another secret: set DEISA_SECRET to the same value for every rank");
  }
  if (failed()) {
    send_(connection, failure_);
    return false;
  }
  if (size != size_ || rank < 0 || rank >= size_) {
    // Told to all: no rendezvous can come of it, and waiting would only hide the reason.
    fail(DEISA_ERROR_ARGUMENT, false,
         "the world sizes differ: " + process + " came as " + rank_text(rank, size) +
             ", but rank 0 expects a world size of " + std::to_string(size_) +
             "; start every rank with the same world size, and one simulation per master_port");
    send_(connection, failure_);
    return false;
  }
  if (const uint64_t other = connection_of_[static_cast<size_t>(rank)]; other != 0) {
    const auto first = members_.find(other);
    const std::string reason =
        "two processes came as " + rank_text(rank, size) + ": " +
        (first == members_.end() ? "one that is done" : first->second.from) + " and " + process +
        "; give each its own bridge_id, and each simulation its own master_port "
        "(DEISA_MASTER_PORT)";
    if (complete()) {  // all of one simulation, and somebody of another
      send_(connection, failure_frame(DEISA_ERROR_ARGUMENT, false, reason));
    } else {
      fail(DEISA_ERROR_ARGUMENT, false, reason);
      send_(connection, failure_);
    }
    return false;
  }
  Member& member = members_[connection];
  member.rank = rank;
  member.from = process;
  connection_of_[static_cast<size_t>(rank)] = connection;
  came_[static_cast<size_t>(rank)] = true;
  ++present_;
  note_address(reached);
  send_(connection, Encoder(Type::kWelcome).frame());
  if (complete()) {
    for (auto& [id, waiting] : members_) {
      if (waiting.in_rendezvous) rendezvous(id, waiting);
    }
  }
  return true;
}

bool State::request(uint64_t connection, std::string_view frame) {
  const auto found = members_.find(connection);
  if (found == members_.end()) return false;  // failed meanwhile
  Member& member = found->second;
  Decoder decoder(frame);
  const auto type = static_cast<Type>(decoder.u8());
  if (type == Type::kBye) {
    decoder.end();
    members_.erase(found);
    return false;
  }
  if (type == Type::kGiveUp) {
    const bool timed_out = decoder.u8() != 0;
    const std::string reason(decoder.text());
    decoder.end();
    fail(timed_out ? DEISA_ERROR_TIMEOUT : DEISA_ERROR_COMMUNICATOR, timed_out,
         rank_text(member.rank, size_) + " gave up: " + reason);
    return true;
  }
  if (member.in_rendezvous || member.pending) throw Malformed("a second request before an answer");
  switch (type) {
    case Type::kRendezvous:
      decoder.end();
      rendezvous(connection, member);
      return true;
    case Type::kSet:
      set(connection, decoder);
      return true;
    case Type::kGet: {
      Pending pending;
      pending.get = true;
      pending.keys.emplace_back(decoder.text(kMaxKey));
      pending.offset = decoder.u64();
      pending.length = decoder.u64();
      decoder.end();
      member.pending = std::move(pending);
      advance(connection, member);
      return true;
    }
    case Type::kWait: {
      Pending pending;
      for (uint32_t keys = decoder.u32(); keys > 0; --keys) {
        pending.keys.emplace_back(decoder.text(kMaxKey));
      }
      decoder.end();
      member.pending = std::move(pending);
      advance(connection, member);
      return true;
    }
    case Type::kWho:
      decoder.end();
      send_(connection, Encoder(Type::kCame).attendance(attendance()).frame());
      return true;
    default:
      throw Malformed("an unknown request");
  }
}

void State::rendezvous(uint64_t connection, Member& member) {
  member.in_rendezvous = !complete();
  if (!member.in_rendezvous) send_(connection, Encoder(Type::kComplete).text(host_).frame());
}

void State::set(uint64_t connection, Decoder& decoder) {
  std::string key(decoder.text(kMaxKey));
  const std::string_view value = decoder.text();
  decoder.end();
  const auto old = values_.find(key);
  const size_t freed = old == values_.end() ? 0 : key.size() + old->second.size() + kPerKey;
  const size_t needed = key.size() + value.size() + kPerKey;
  if (bytes_ - freed + needed > max_bytes_) {
    fail(DEISA_ERROR_RESOURCE, false,
         "the rendezvous store of rank 0 is full (" + std::to_string(max_bytes_) +
             " bytes): too many ranks for a full mesh; give the bridge an MPI communicator");
    return;
  }
  bytes_ += needed - freed;
  values_[key] = std::string(value);
  send_(connection, Encoder(Type::kDone).frame());
  const auto waiting = waiting_.find(key);
  if (waiting == waiting_.end()) return;
  const std::vector<uint64_t> connections = std::move(waiting->second);
  waiting_.erase(waiting);
  for (const uint64_t waiter : connections) {
    const auto found = members_.find(waiter);
    if (found != members_.end() && found->second.pending) advance(waiter, found->second);
  }
}

// Answers a request whose keys are all there, or registers it under the next key.
void State::advance(uint64_t connection, Member& member) {
  Pending& pending = *member.pending;
  const std::string* value = nullptr;
  while (!pending.keys.empty()) {
    const auto found = values_.find(pending.keys.back());
    if (found == values_.end()) {
      waiting_[pending.keys.back()].push_back(connection);
      return;
    }
    value = &found->second;
    pending.keys.pop_back();
  }
  std::string answer;
  if (pending.get && value != nullptr) {
    const size_t offset = std::min<uint64_t>(pending.offset, value->size());
    answer =
        Encoder(Type::kValue).text(std::string_view(*value).substr(offset, pending.length)).frame();
  } else {
    answer = Encoder(Type::kDone).frame();
  }
  member.pending.reset();
  send_(connection, answer);
}

void State::gone(uint64_t connection) {
  const auto found = members_.find(connection);
  if (found == members_.end()) return;
  const int rank = found->second.rank;
  const std::string from = found->second.from;
  members_.erase(found);
  fail(DEISA_ERROR_COMMUNICATOR, false,
       rank_text(rank, size_) + " (" + from +
           ") came and then left: it crashed or was killed during the rendezvous; see its "
           "output");
}

void State::expire(const std::string& hint) {
  const std::string both = hint + (hint.empty() || refused_.empty() ? "" : "; ") + refused_;
  if (!complete()) fail(DEISA_ERROR_TIMEOUT, true, both);
}

void State::fail(deisa_status status, bool timed_out, const std::string& reason) {
  if (failed()) return;
  failure_ = failure_frame(status, timed_out, reason);
  for (const auto& member : members_) send_(member.first, failure_);
  members_.clear();
  waiting_.clear();
}

std::string State::failure_frame(deisa_status status, bool timed_out,
                                 const std::string& reason) const {
  return Encoder(Type::kFailed)
      .i32(status)
      .u8(timed_out ? 1 : 0)
      .text(std::string_view(reason).substr(0, 2000))
      .attendance(attendance())
      .frame();
}

void State::note_address(const std::optional<Address>& reached) {
  if (!reached || quality(*reached) <= host_quality_) return;
  host_quality_ = quality(*reached);
  host_ = reached->host();
}

}  // namespace deisa::store
