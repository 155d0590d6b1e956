#include "comm/store_state.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "comm/listening_socket.hpp"
#include "comm/node_map.hpp"

namespace deisa::store {
namespace {

// Bytes of text about who was refused, after which no more is added.
constexpr size_t kMostRefused = 400;
// What one key costs beside its bytes.
constexpr size_t kPerKey = 128;

// How likely ranks on other machines reach an address.
int quality(const Address& address) {
  if (address.is_loopback()) return address.family() == AF_INET ? 2 : 1;
  if (address.is_link_local()) return 0;
  return address.family() == AF_INET ? 4 : 3;
}

std::string rank_text(int rank, int size) {
  return "rank " + std::to_string(rank) + " of " + std::to_string(size);
}

std::string process_text(int32_t process, const std::string& from) {
  return "process " + std::to_string(process) + " at " + from;
}

std::string came_text(const Hello& hello, const std::string& from) {
  return process_text(hello.process, from) + ", which came as " +
         rank_text(hello.rank, hello.size) + ",";
}

std::string left_text(int rank, int size, const std::string& process) {
  return rank_text(rank, size) + " (" + process +
         ") came and then left: it crashed or was killed during the rendezvous; see its output";
}

}  // namespace

State::State(int size, std::string secret, size_t max_bytes,
             std::function<void(uint64_t, const std::string&)> send)
    : size_(size),
      secret_(std::move(secret)),
      max_bytes_(max_bytes),
      send_(std::move(send)),
      presence_(static_cast<size_t>(size)),
      node_of_(static_cast<size_t>(size), 0),
      came_(static_cast<size_t>(size), false) {}

Admission State::hello(uint64_t connection, std::string_view frame, const std::string& from,
                       const std::optional<Address>& reached) {
  const auto type = static_cast<Type>(Decoder(frame).u8());
  if (type == Type::kProbe) {
    Decoder decoder(frame.substr(1));
    if (decoder.raw(kMagic.size()) != kMagic) throw Malformed("not a rank of deisa");
    send_(connection, Encoder(Type::kHost)
                          .i32(static_cast<int32_t>(::getpid()))
                          .u8(failed() ? 1 : 0)
                          .text(refused_)
                          .attendance(attendance())
                          .frame());
    return Admission::kRefused;
  }
  const auto [hello, wrong, undecided] = secret_.look(connection, frame);
  if (hello.version != kVersion) {
    return refuse(connection, DEISA_ERROR_UNSUPPORTED, "the process at " + from,
                  "speaks version " + std::to_string(kVersion) + " of the rendezvous, not " +
                      std::to_string(hello.version) + ": use the same libdeisa_gloo.so everywhere");
  }
  if (wrong) {
    return refuse(connection, DEISA_ERROR_ARGUMENT, came_text(hello, from),
                  secret_.is_needed()
                      ? "has another secret: set DEISA_SECRET to the same value for every rank"
                      : "has no secret: set DEISA_SECRET to the same value for every rank, or for "
                        "none");
  }
  if (undecided) {
    send_(connection, secret_.challenge(connection, frame));
    return Admission::kUndecided;
  }
  return admit(connection, hello, from, reached);
}

// It may be nobody of ours: only it is told, and rank 0 keeps it in mind for when a rank is missed.
Admission State::refuse(uint64_t connection, deisa_status status, const std::string& who,
                        const std::string& reason) {
  send_(connection, failure_frame(status, false, "rank 0 " + reason));
  if (refused_.size() < kMostRefused) {
    refused_ += (refused_.empty() ? "" : "; ") + who + " was refused: rank 0 " + reason;
  }
  return Admission::kRefused;
}

Admission State::admit(uint64_t connection, const Hello& hello, const std::string& from,
                       const std::optional<Address>& reached) {
  if (failed()) {
    send_(connection, failure_);
    return Admission::kRefused;
  }
  // One that has the secret is a rank of ours: no rendezvous can come of its mistake, which all are
  // told. Anyone else may be a stranger, who must not end what the ranks can still complete.
  const bool is_ours = secret_.is_needed();
  const std::string who = came_text(hello, from);
  if (hello.size != size_ || hello.rank < 0 || hello.rank >= size_) {
    const std::string problem =
        "expects a world size of " + std::to_string(size_) +
        ": the world sizes differ; start every rank with the same world size, and one simulation "
        "per master_port";
    if (!is_ours) return refuse(connection, DEISA_ERROR_ARGUMENT, who, problem);
    fail(DEISA_ERROR_ARGUMENT, false, who + " was refused: rank 0 " + problem);
    send_(connection, failure_);
    return Admission::kRefused;
  }
  Member member;
  member.rank = hello.rank;
  member.from = from;
  member.node = nodes_.emplace(hello.node, static_cast<int>(nodes_.size())).first->second;
  std::string problem;
  if (!check_in(connection, member, hello.rank, hello.process, &problem)) {
    if (!is_ours) {
      return refuse(connection, DEISA_ERROR_ARGUMENT, who, "has this rank: " + problem);
    }
    if (!complete()) fail(DEISA_ERROR_ARGUMENT, false, problem);
    send_(connection, failed() ? failure_ : failure_frame(DEISA_ERROR_ARGUMENT, false, problem));
    return Admission::kRefused;
  }
  members_[connection] = std::move(member);
  note_address(reached);
  send_(connection, Encoder(Type::kWelcome).i32(-1).frame());
  if (complete()) everyone_came();
  return Admission::kAdmitted;
}

// False: another process has come as this rank.
bool State::check_in(uint64_t connection, Member& member, int rank, int32_t process,
                     std::string* problem) {
  Presence& presence = presence_[static_cast<size_t>(rank)];
  if (presence.connection != 0) {
    const auto first = members_.find(presence.connection);
    *problem = "two processes came as " + rank_text(rank, size_) + ": " +
               (first == members_.end() ? "one that is done"
                                        : process_text(presence.process, first->second.from)) +
               " and " + process_text(process, member.from) +
               "; give each its own bridge_id, and each simulation its own master_port "
               "(DEISA_MASTER_PORT)";
    return false;
  }
  presence = {connection, process};
  node_of_[static_cast<size_t>(rank)] = member.node;
  came_[static_cast<size_t>(rank)] = true;
  ++present_;
  return true;
}

// Ranks that come by way of a relay.
void State::came(uint64_t connection, Member& member, Decoder& decoder) {
  for (uint32_t number = decoder.u32(); number > 0; --number) {
    const uint64_t line = decoder.u64();
    const int rank = decoder.i32();
    const int32_t process = decoder.i32();
    if (rank < 0 || rank >= size_ || member.ranks.count(line) != 0) {
      throw Malformed("a rank that cannot be");
    }
    std::string problem;
    if (check_in(connection, member, rank, process, &problem)) {
      member.ranks.emplace(line, rank);
    } else if (!complete()) {
      // The relay takes in processes of its own user only.
      fail(DEISA_ERROR_ARGUMENT, false, problem);
      return;  // the members are no more
    } else {
      send_(connection, Encoder(Type::kRefused)
                            .u64(line)
                            .failure({DEISA_ERROR_ARGUMENT, false, problem, attendance()})
                            .frame());
    }
  }
  decoder.end();
  if (complete() && complete_.empty()) everyone_came();
}

void State::everyone_came() {
  const std::string nodes =
      NodeMap::from_numbers(node_of_, static_cast<int>(nodes_.size())).to_text();
  if (nodes.size() > kMaxFrame - kMaxHello) {
    fail(DEISA_ERROR_RESOURCE, false,
         "the ranks are placed on the nodes in too little order (a list of " +
             std::to_string(nodes.size()) +
             " bytes): place them in blocks or cyclically, or give the bridges an MPI "
             "communicator");
    return;
  }
  complete_ = Encoder(Type::kComplete).text(host_).text("").text(nodes).frame();
  for (auto& [connection, member] : members_) {
    if (member.in_rendezvous) send_(connection, complete_);
    member.in_rendezvous = false;
  }
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
    const int rank = decoder.i32();
    const bool timed_out = decoder.u8() != 0;
    const std::string reason(decoder.text());
    decoder.end();
    fail(timed_out ? DEISA_ERROR_TIMEOUT : DEISA_ERROR_COMMUNICATOR, timed_out,
         rank_text(rank, size_) + " gave up: " + reason +
             (timed_out && !refused_.empty() ? "; " + refused_ : ""));
    return true;
  }
  switch (type) {
    case Type::kRendezvous:
      decoder.end();
      member.in_rendezvous = complete_.empty();
      if (!member.in_rendezvous) send_(connection, complete_);
      return true;
    case Type::kCame:
      came(connection, member, decoder);
      return true;
    case Type::kLeft: {
      const auto line = member.ranks.find(decoder.u64());
      decoder.end();
      if (line == member.ranks.end()) return true;  // it was refused
      const int rank = line->second;
      fail(DEISA_ERROR_COMMUNICATOR, false,
           left_text(rank, size_,
                     process_text(presence_[static_cast<size_t>(rank)].process, member.from)));
      return true;
    }
    case Type::kSet:
      set(connection, decoder);
      return true;
    case Type::kGet:
      get(connection, member, decoder);
      return true;
    case Type::kExchange:
      exchange(connection, member, decoder);
      return true;
    default:
      throw Malformed("an unknown request");
  }
}

bool State::full(size_t needed, size_t freed) {
  if (bytes_ - freed + needed <= max_bytes_) return false;
  fail(DEISA_ERROR_RESOURCE, false,
       "the rendezvous store of rank 0 is full (" + std::to_string(max_bytes_) +
           " bytes): too many nodes for a full mesh; give the bridge an MPI communicator");
  return true;
}

void State::set(uint64_t connection, Decoder& decoder) {
  std::string key(decoder.text(kMaxKey));
  const std::string_view value = decoder.text();
  decoder.end();
  const auto old = values_.find(key);
  const size_t freed = old == values_.end() ? 0 : key.size() + old->second.size() + kPerKey;
  const size_t needed = key.size() + value.size() + kPerKey;
  if (full(needed, freed)) return;
  bytes_ += needed - freed;
  values_[key] = std::string(value);
  send_(connection, Encoder(Type::kDone).frame());
  const auto waiting = waiting_.find(key);
  if (waiting == waiting_.end()) return;
  const std::vector<uint64_t> connections = std::move(waiting->second);
  waiting_.erase(waiting);
  const std::string answer = Encoder(Type::kValue).text(key).text(value).frame();
  for (const uint64_t waiter : connections) {
    const auto found = members_.find(waiter);
    if (found == members_.end()) continue;
    --found->second.waiting;
    send_(waiter, answer);
  }
}

void State::get(uint64_t connection, Member& member, Decoder& decoder) {
  std::string key(decoder.text(kMaxKey));
  decoder.end();
  const auto found = values_.find(key);
  if (found != values_.end()) {
    send_(connection, Encoder(Type::kValue).text(key).text(found->second).frame());
    return;
  }
  // Each of its ranks waits for one key at most.
  if (member.waiting > member.ranks.size()) throw Malformed("a second request before an answer");
  ++member.waiting;
  waiting_[std::move(key)].push_back(connection);
}

void State::exchange(uint64_t connection, Member& member, Decoder& decoder) {
  const uint32_t place = decoder.u32();
  const uint32_t number = decoder.u32();
  const std::string_view text = decoder.text();
  decoder.end();
  if (!complete() || number == 0 || number > nodes_.size() || member.in_exchange) {
    throw Malformed("an exchange that cannot be");
  }
  if (full(text.size(), 0)) return;
  if (!exchange_) exchange_.emplace(number);
  exchange_->add(place, number, connection, text);
  member.in_exchange = true;
  bytes_ += text.size();
  if (!exchange_->complete()) return;
  for (uint32_t to = 0; to < number; ++to) {
    const uint64_t waiter = exchange_->connections()[to];
    const auto found = members_.find(waiter);
    if (found == members_.end()) continue;
    found->second.in_exchange = false;
    send_(waiter, exchange_->answer(to));
  }
  bytes_ -= exchange_->bytes();
  exchange_.reset();
}

void State::gone(uint64_t connection) {
  secret_.forget(connection);
  const auto found = members_.find(connection);
  if (found == members_.end()) return;
  const Member member = std::move(found->second);
  members_.erase(found);
  std::string reason =
      left_text(member.rank, size_,
                process_text(presence_[static_cast<size_t>(member.rank)].process, member.from));
  if (!member.ranks.empty()) {
    std::vector<int> others;
    for (const auto& one : member.ranks) others.push_back(one.second);
    reason += ". It was the relay of its node, for rank(s) " + to_text(rank_ranges(others));
  }
  fail(DEISA_ERROR_COMMUNICATOR, false, reason);
}

void State::expire() {
  if (!complete()) fail(DEISA_ERROR_TIMEOUT, true, refused_);
}

void State::refuse_more(const std::string& reason) {
  fail(DEISA_ERROR_RESOURCE, false,
       "rank 0 cannot accept more than " + std::to_string(members_.size()) + " connections (" +
           reason + "): one for each node is needed. The hard limit of open files is " +
           std::to_string(raise_file_limit(0)) + "; " + kRaiseFiles);
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
  return Encoder(Type::kFailed).failure({status, timed_out, reason, attendance()}).frame();
}

void State::note_address(const std::optional<Address>& reached) {
  if (!reached || quality(*reached) <= host_quality_) return;
  host_quality_ = quality(*reached);
  host_ = reached->host();
}

}  // namespace deisa::store
