#include "ipc/client.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include "base/number.hpp"
#include "base/shortage.hpp"
#include "ipc/memfd.hpp"
#include "ipc/process_state.hpp"

namespace deisa {
namespace {

// Reads a VALUE's memory file. Read rather than mapped: a short file is then an error, not a
// signal.
std::string read_value(int fd, uint64_t size) {
  const size_t actual = sealed_size(fd);
  if (actual != size || size > wire::kMaxValue) {
    throw Error(DEISA_ERROR_CONNECTION, "a VALUE of " + std::to_string(size) +
                                            " bytes came in a memory file of " +
                                            std::to_string(actual) + " bytes; at most " +
                                            std::to_string(wire::kMaxValue) + " are supported");
  }
  std::string value(actual, '\0');
  for (size_t done = 0; done < value.size();) {
    const ssize_t n =
        ::pread(fd, value.data() + done, value.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw Error(DEISA_ERROR_CONNECTION, "a VALUE's memory file cannot be read");
    done += static_cast<size_t>(n);
  }
  return value;
}

// Seconds: longer waits have no end.
constexpr double kMaxWait = 1e9;

// A status from the other process that stands for a failure: anything else is a defect there.
deisa_status failure_status(int32_t status) {
  return status < 0 && status >= DEISA_ERROR_INTERNAL ? static_cast<deisa_status>(status)
                                                      : DEISA_ERROR_INTERNAL;
}

}  // namespace

Client::Client(const std::string& path, const Deadline& deadline) : path_(path) {
  const UnixAddress address(path);
  for (;;) {
    // A new socket for each attempt: the state after a failed connect() is unspecified.
    socket_ = FileDescriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket_) {
      throw Error(DEISA_ERROR_RESOURCE,
                  "cannot make a socket for the node actor: " + system_text(errno));
    }
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(address.bytes),
                  address.length) == 0) {
      return;
    }
    const int code = errno;
    if (code != EAGAIN && code != EINTR) {
      throw Error(DEISA_ERROR_CONNECTION,
                  "cannot connect to the node actor at " + path + ": " + std::strerror(code) +
                      ". Is it running on this node, by the same user, and is the directory "
                      "visible here (containers must share it)?");
    }
    if (deadline.expired()) {
      throw Error(DEISA_ERROR_TIMEOUT, "the node actor at " + path +
                                           " accepts no connection: too many ranks are waiting");
    }
    // EAGAIN: more ranks are waiting than the listener queues, and poll() cannot tell when it can
    // take more.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void Client::lose(deisa_status status, const std::string& why) {
  if (!gone_) gone_ = Error(status, why);
}

bool Client::in_range(const wire::Header& header) const {
  if (header.array == wire::kNone) return header.slot == wire::kNone;
  return header.array < slot_counts_.size() &&
         (header.slot == wire::kNone || header.slot < slot_counts_[header.array]);
}

// Sorts the message in reader_: into answers_, reply_ or gone_.
void Client::dispatch() {
  const wire::Header& header = reader_.header();
  const bool bare = header.payload == 0 && !reader_.has_fd();
  bool valid = false;
  switch (header.kind) {
    case wire::Kind::kStored:
      valid = bare && in_range(header) && header.slot != wire::kNone;
      break;
    case wire::Kind::kReceived:
    case wire::Kind::kAnnounced:
      valid = bare && in_range(header);
      break;
    case wire::Kind::kFailed:
      valid = header.status < 0 && in_range(header) && !reader_.has_fd();
      break;
    case wire::Kind::kNotice:
      valid = in_range(header) && !reader_.has_fd();
      break;
    case wire::Kind::kRefused:
      lose(failure_status(header.status),
           "the node actor at " + path_ + " refused this rank: " + std::string(reader_.payload()));
      return;
    case wire::Kind::kGate:
      if (header.value > 1 || reader_.has_fd()) break;
      gate_ = {header.value == 1, header.timestep, std::string(reader_.payload()),
               std::max(gate_.answered, header.sequence)};
      return;
    case wire::Kind::kChanged:
      if (!change(header)) break;
      return;
    case wire::Kind::kWelcome:
    case wire::Kind::kDone:
    case wire::Kind::kValue:
      // A reply that nobody waits for any more came too late.
      if (header.sequence == awaited_ && awaited_ != 0 && !reply_) {
        reply_ = Reply{header, std::string(reader_.payload()), reader_.take_fd()};
      }
      return;
    default:
      break;
  }
  if (!valid) {
    lose(DEISA_ERROR_CONNECTION, "the node actor at " + path_ + " sent a malformed " +
                                     kind_name(header.kind) + "; do the versions match?");
    return;
  }
  answers_.push_back(Answer{header, std::string(reader_.payload())});
}

// Takes in what has become of a kept value.
bool Client::change(const wire::Header& header) {
  const std::string_view payload = reader_.payload();
  if (reader_.has_fd() || header.value == 0 || header.value > payload.size()) return false;
  const auto kept = kept_.find(std::string(payload.substr(0, header.value)));
  if (kept == kept_.end()) return true;
  if (header.status == DEISA_OK) {
    kept->second = {true, std::string(payload.substr(header.value)), ++versions_};
  } else if (header.status == DEISA_NOT_FOUND) {
    kept->second = {false, "", ++versions_};
  } else {
    kept_.erase(kept);
  }
  return true;
}

// Reads at most one message; false if there is none now.
bool Client::read_one() {
  if (gone_) return false;
  switch (reader_.read(socket_.get())) {
    case ReadResult::kMessage:
      heard_ = Deadline::Clock::now();
      dispatch();
      reader_.drop_fd();  // one that nobody asked for
      return true;
    case ReadResult::kNothing:
      return false;
    case ReadResult::kEnd:
      lose(DEISA_ERROR_CONNECTION, "the node actor is gone: it closed the socket " + path_);
      return false;
    case ReadResult::kMalformed:
      lose(DEISA_ERROR_CONNECTION,
           "the node actor at " + path_ + " sent a malformed message: " + reader_.problem());
      return false;
  }
  return false;
}

std::string Client::why_stopped() const {
  const std::string why = why_idle(peer_process(socket_.get()));
  return why.empty() ? "" : "the node actor " + why;
}

std::string Client::explain_silence(Deadline::Clock::time_point since) const {
  if (std::string why = why_stopped(); !why.empty()) return why;
  if (heard_ > since) return "";
  const pid_t process = peer_process(socket_.get());
  const std::chrono::duration<double> silent = Deadline::Clock::now() - heard_;
  return "the node actor" + (process > 0 ? " (process " + std::to_string(process) + ")" : "") +
         " has said nothing for " + fixed_text(silent.count(), 1) +
         " s: it is busy, or waits for Ray";
}

// Waits until something can be read, or written too if `for_room`. Ends early at a signal.
// Spinning for 20 or 50 us before poll() was tried on 2 cores: the median stayed the same, the tail
// grew.
void Client::wait(bool for_room, const Deadline& deadline) {
  pollfd entry{socket_.get(), static_cast<short>(POLLIN | (for_room ? POLLOUT : 0)), 0};
  ::poll(&entry, 1, notice_ != nullptr ? notice_->poll_timeout(deadline) : deadline.poll_timeout());
  if (notice_ != nullptr) notice_->look();
}

uint64_t Client::send(wire::Header header, const void* first, size_t first_bytes,
                      const std::string& second, int fd, const Deadline& deadline) {
  if (gone_) throw *gone_;
  if (first_bytes + second.size() > wire::kMaxPayload) {
    throw Error(DEISA_ERROR_ARGUMENT, "a " + kind_name(header.kind) + " of " +
                                          std::to_string(first_bytes + second.size()) +
                                          " bytes is larger than the limit of " +
                                          std::to_string(wire::kMaxPayload));
  }
  header.sequence = sequence_ + 1;
  header.payload = static_cast<uint32_t>(first_bytes + second.size());
  const iovec pieces[] = {{&header, sizeof(header)},
                          {const_cast<void*>(first), first_bytes},
                          {const_cast<char*>(second.data()), second.size()}};
  const auto begun = Deadline::Clock::now();
  for (;;) {
    switch (send_packet(socket_.get(), pieces, 3, fd)) {
      case SendResult::kSent:
        return ++sequence_;
      case SendResult::kGone:
        while (read_one()) {
        }  // the reason may stand in a REFUSED
        lose(DEISA_ERROR_CONNECTION, "the node actor is gone: it closed the socket " + path_);
        throw *gone_;
      case SendResult::kFailed:
        throw Error(DEISA_ERROR_CONNECTION, "cannot send " + kind_name(header.kind) +
                                                " to the node actor at " + path_ + ": " +
                                                std::strerror(errno));
      case SendResult::kFull:
        break;
    }
    // The actor stops reading while we leave its answers unread, so read them while waiting.
    while (read_one()) {
    }
    if (gone_) throw *gone_;
    if (deadline.expired()) {
      const std::string why = explain_silence(begun);
      throw Error(DEISA_ERROR_TIMEOUT, "the node actor at " + path_ + " does not take " +
                                           kind_name(header.kind) +
                                           ": the socket is still full at the deadline" +
                                           (why.empty() ? "" : "; " + why));
    }
    wait(true, deadline);
  }
}

Client::Reply Client::ask(wire::Kind kind, uint64_t sequence, const char* request,
                          const Deadline& deadline) {
  awaited_ = sequence;
  reply_.reset();
  const auto begun = Deadline::Clock::now();
  for (;;) {
    const bool more = read_one();
    if (reply_) break;
    if (gone_) throw *gone_;
    if (more) continue;
    if (deadline.expired()) {
      awaited_ = 0;
      const std::string why = explain_silence(begun);
      throw Error(DEISA_ERROR_TIMEOUT, "the node actor at " + path_ + " has not answered " +
                                           request + " within the time limit" +
                                           (why.empty() ? "" : ": " + why));
    }
    wait(false, deadline);
  }
  awaited_ = 0;
  Reply reply = std::move(*reply_);
  reply_.reset();
  if (reply.header.kind != kind) {
    lose(DEISA_ERROR_CONNECTION, "the node actor at " + path_ + " answered " + request + " with " +
                                     kind_name(reply.header.kind) + "; do the versions match?");
    throw *gone_;
  }
  return reply;
}

void Client::introduce(const std::string& hello_json, int memfd,
                       const std::vector<Definition>& arrays, const Deadline& deadline) {
  wire::Header hello;
  hello.kind = wire::Kind::kHello;
  hello.value = wire::kVersion;
  send(hello, nullptr, 0, hello_json, memfd, deadline);
  slot_counts_.clear();
  for (const Definition& array : arrays) {
    wire::Header define;
    define.kind = wire::Kind::kDefine;
    define.array = static_cast<uint32_t>(slot_counts_.size());
    send(define, &array.geometry, sizeof(array.geometry), array.json, -1, deadline);
    slot_counts_.push_back(array.geometry.count);
  }
  wire::Header ready;
  ready.kind = wire::Kind::kReady;
  const uint64_t sequence = send(ready, nullptr, 0, {}, -1, deadline);
  ask(wire::Kind::kWelcome, sequence, "READY", deadline);
}

void Client::describe(uint32_t array, const Definition& definition, const Deadline& deadline) {
  wire::Header define;
  define.kind = wire::Kind::kDefine;
  define.array = array;
  const uint64_t sequence = send(define, &definition.geometry, sizeof(definition.geometry),
                                 definition.json, -1, deadline);
  const Reply reply = ask(wire::Kind::kDone, sequence, "DEFINE", deadline);
  if (reply.header.status < 0) throw Error(failure_status(reply.header.status), reply.payload);
}

FileDescriptor Client::share(uint32_t array, const wire::SharedSlots& slots,
                             const std::string& name, const Deadline& deadline) {
  wire::Header share;
  share.kind = wire::Kind::kShare;
  share.array = array;
  const uint64_t sequence = send(share, &slots, sizeof(slots), name, -1, deadline);
  Reply reply = ask(wire::Kind::kValue, sequence, "SHARE", deadline);
  if (reply.header.status < 0) throw Error(failure_status(reply.header.status), reply.payload);
  if (!reply.fd) {
    throw Error(DEISA_ERROR_CONNECTION, "the node actor answered SHARE without a memory file");
  }
  slot_counts_[array] += slots.count;
  return std::move(reply.fd);
}

uint64_t Client::send_step(int64_t timestep, bool last_of_step,
                           const std::vector<wire::Item>& items, const Deadline& deadline) {
  wire::Header step;
  step.kind = wire::Kind::kStep;
  step.flags = last_of_step ? wire::kLastOfStep : uint16_t{0};
  step.timestep = timestep;
  return send(step, items.data(), items.size() * sizeof(wire::Item), {}, -1, deadline);
}

void Client::send_progress(int64_t timestep, const Deadline& deadline) {
  wire::Header progress;
  progress.kind = wire::Kind::kProgress;
  progress.timestep = timestep;
  send(progress, nullptr, 0, {}, -1, deadline);
}

uint64_t Client::send_ask(int64_t timestep, bool waits, const Deadline& deadline) {
  wire::Header ask;
  ask.kind = wire::Kind::kAsk;
  ask.timestep = timestep;
  ask.value = waits ? 1 : 0;
  return send(ask, nullptr, 0, {}, -1, deadline);
}

uint64_t Client::send_end(int64_t timestep, const Deadline& deadline) {
  wire::Header end;
  end.kind = wire::Kind::kEnd;
  end.timestep = timestep;
  return send(end, nullptr, 0, {}, -1, deadline);
}

void Client::send_bye(bool closed) noexcept {
  if (gone_) return;
  wire::Header bye;
  bye.kind = wire::Kind::kBye;
  bye.value = closed ? 1 : 0;
  bye.sequence = ++sequence_;
  const iovec piece{&bye, sizeof(bye)};
  (void)send_packet(socket_.get(), &piece, 1, -1);
}

std::optional<Client::Answer> Client::take() {
  if (answers_.empty()) return std::nullopt;
  std::optional<Answer> answer(std::move(answers_.front()));
  answers_.pop_front();
  return answer;
}

std::optional<Client::Answer> Client::poll() {
  while (answers_.empty() && read_one()) {
  }
  if (answers_.empty() && gone_) throw *gone_;
  return take();
}

std::optional<Client::Answer> Client::receive(const Deadline& deadline) {
  for (;;) {
    if (std::optional<Answer> answer = poll()) return answer;
    if (deadline.expired()) return std::nullopt;
    wait(false, deadline);
  }
}

void Client::wait_for_gate(int64_t timestep, uint64_t asked, const Deadline& deadline) {
  for (;;) {
    const bool more = read_one();
    if (gate_.admits(timestep) || (asked != 0 && gate_.answered >= asked)) return;
    if (gone_) throw *gone_;
    if (more) continue;
    if (deadline.expired()) return;
    wait(false, deadline);
  }
}

const Client::Value& Client::get(const std::string& key, const Query& query,
                                 const Deadline& deadline) {
  const bool plain = query.timestep == wire::kNoTimestep && query.wait <= 0 && !query.all;
  if (plain) {
    while (read_one()) {
    }
    if (gone_) throw *gone_;
    if (const auto kept = kept_.find(key); kept != kept_.end()) return kept->second;
  }
  wire::Header request;
  request.kind = wire::Kind::kGet;
  request.timestep = query.timestep;
  request.flags = query.all ? wire::kAll : uint16_t{0};
  request.value = static_cast<uint64_t>(std::ceil(std::min(query.wait, kMaxWait) * 1000));
  const uint64_t sequence = send(request, nullptr, 0, key, -1, deadline);
  Reply reply = ask(wire::Kind::kValue, sequence, "GET", deadline);
  const bool missing = reply.header.status == DEISA_NOT_FOUND;
  if (!missing && reply.header.status != DEISA_OK) {
    throw Error(failure_status(reply.header.status), reply.payload);
  }
  Value value;
  if (!missing) {
    value.found = true;
    value.packed =
        reply.fd ? read_value(reply.fd.get(), reply.header.value) : std::move(reply.payload);
    if (value.packed.size() != reply.header.value) {
      throw Error(DEISA_ERROR_CONNECTION,
                  "the value of \"" + key + "\" has " + std::to_string(value.packed.size()) +
                      " bytes instead of the announced " + std::to_string(reply.header.value));
    }
  }
  if (!plain || (reply.header.flags & wire::kKept) == 0) return answered_ = std::move(value);
  value.version = ++versions_;
  return kept_[key] = std::move(value);
}

void Client::remove(const std::string& key, const Deadline& deadline) {
  wire::Header request;
  request.kind = wire::Kind::kDelete;
  const uint64_t sequence = send(request, nullptr, 0, key, -1, deadline);
  Reply reply = ask(wire::Kind::kDone, sequence, "DELETE", deadline);
  if (reply.header.status < 0) throw Error(failure_status(reply.header.status), reply.payload);
}

}  // namespace deisa
