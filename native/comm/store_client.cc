#include "comm/store_client.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <system_error>
#include <thread>

#include "base/number.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;

// How long one attempt to connect may take, and the pauses between attempts.
constexpr double kAttempt = 5.0;
constexpr double kFirstPause = 0.02;
constexpr double kLongestPause = 0.5;
// After which a silent program is doubted to be rank 0.
constexpr double kSilence = 0.5;
// For the last exchange with the master after a deadline.
constexpr double kLastWords = 2.0;

// The wait ended.
struct Late {};
// The connection ended.
struct Lost {
  std::string reason;
};

std::string describe(int error) { return std::generic_category().message(error); }

}  // namespace

StoreClient::StoreClient(const Options& options, const Deadline& deadline) : options_(options) {
  connect(deadline);
}

StoreClient::~StoreClient() {
  if (!fd_ || broken_) return;
  try {
    send_all(Encoder(Type::kBye).frame(), Deadline::after(kLastWords));
  } catch (...) {
    // The master finds out by the end of the connection.
  }
}

void StoreClient::connect(const Deadline& deadline) {
  const std::string& host =
      options_.connect_to.empty() ? options_.master_address : options_.connect_to;
  std::vector<Address> addresses;
  try {
    addresses = resolve("master_address", host, options_.master_port, deadline);
  } catch (const Error& error) {
    throw Error(error.status(), who_and_where() + ": " + error.what()).at_rank(options_.rank);
  }
  std::string problem = "no attempt was made";
  RefusalQuestion question(options_.rank, options_.size);
  // Ranks that start together must not come back together.
  double pause = kFirstPause * (1.0 + 0.01 * (options_.rank % 100));
  while (true) {
    for (const Address& address : addresses) {
      question.ask(address);
      try {
        fd_ = FileDescriptor(
            ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (!fd_) throw Lost{describe(errno)};
        const Deadline attempt = Deadline::after(std::min(kAttempt, deadline.seconds()));
        if (::connect(fd_.get(), address.get(), address.length) != 0) {
          if (errno != EINPROGRESS) throw Lost{describe(errno)};
          wait_for(POLLOUT, attempt);
          int error = 0;
          socklen_t length = sizeof(error);
          ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
          if (error != 0) throw Lost{describe(error)};
        }
        const int on = 1;
        ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        const auto local = socket_address(fd_.get());
        // A port that nobody listens on, in the range of outgoing connections, may connect to
        // itself.
        const auto peer = peer_address(fd_.get());
        if (!local || !peer || local->text() == peer->text()) throw Lost{describe(ECONNREFUSED)};
        local_ = *local;
        if (check_in(address, question, deadline)) return;
      } catch (const Late&) {
        problem = address.text() + " did not answer";
      } catch (const Lost& lost) {
        problem = address.text() + ": " + lost.reason;
      }
      fd_.reset();
      if (deadline.expired()) throw unreachable(problem);
    }
    if (const auto why = question.answer(Deadline::after(std::min(pause, deadline.seconds())))) {
      refused(*why);
    }
    if (deadline.expired()) throw unreachable(problem);
    pause = std::min(pause * 1.5, kLongestPause);
  }
}

void StoreClient::refused(const Error& why) const {
  throw Error(why.status(), who_and_where() + ": rank 0 has given up: " + why.what())
      .at_rank(options_.rank);
}

bool StoreClient::check_in(const Address& address, RefusalQuestion& question,
                           const Deadline& deadline) {
  send_all(Encoder(Type::kHello)
               .raw(store::kMagic)
               .u16(store::kVersion)
               .i32(options_.rank)
               .i32(options_.size)
               .i32(static_cast<int32_t>(::getpid()))
               .text(options_.secret)
               .frame(),
           deadline);
  // One that says nothing may be another program, for which rank 0 has given up; or rank 0, which
  // has much to do.
  for (bool silent = true; silent;) {
    try {
      wait_for(POLLIN, Deadline::after(std::min(kSilence, deadline.seconds())));
      silent = false;
    } catch (const Late&) {
      if (const auto why = question.answer(Deadline::after(0))) refused(*why);
      if (deadline.expired()) throw;
      question.ask(address);
    }
  }
  try {
    const Frame frame = receive(deadline);
    if (frame.type == Type::kWelcome) return true;
    if (frame.type == Type::kFailed) {
      broken_ = true;
      throw failure(frame.payload);
    }
  } catch (const store::Malformed&) {
  }
  throw Error(DEISA_ERROR_COMMUNICATOR,
              who_and_where() +
                  ": another program answers there: give all ranks another "
                  "master_port")
      .at_rank(options_.rank);
}

std::string StoreClient::request(std::string frame, Type expected, const Deadline& deadline) {
  try {
    if (broken_) throw Lost{"it failed before"};
    send_all(frame, deadline);
    Frame answer = receive(deadline);
    if (answer.type == expected) return std::move(answer.payload);
    broken_ = true;
    if (answer.type == Type::kFailed) throw failure(answer.payload);
    throw store::Malformed("an answer that was not asked for");
  } catch (const Late&) {
    time_out();
  } catch (const Lost& lost) {
    broken_ = true;
    throw Error(DEISA_ERROR_COMMUNICATOR,
                who_and_where() + ": the connection to rank 0 ended (" + lost.reason +
                    "): rank 0 crashed, was killed, or gave up; see its output")
        .at_rank(options_.rank);
  } catch (const store::Malformed& malformed) {
    broken_ = true;
    throw Error(DEISA_ERROR_COMMUNICATOR,
                who_and_where() + ": rank 0's answer is invalid (" + malformed.what() + ")")
        .at_rank(options_.rank);
  }
}

std::string StoreClient::rendezvous(const Deadline& deadline) {
  const std::string payload =
      request(Encoder(Type::kRendezvous).frame(), Type::kComplete, deadline);
  return std::string(store::Decoder(payload).text());
}

void StoreClient::set(const std::string& key, const std::string& value, const Deadline& deadline) {
  if (key.size() > store::kMaxKey || value.size() > store::kMaxFrame - 2 * store::kMaxKey) {
    throw Error(DEISA_ERROR_ARGUMENT, who_and_where() + ": a key or value is too long")
        .at_rank(options_.rank);
  }
  request(Encoder(Type::kSet).text(key).text(value).frame(), Type::kDone, deadline);
}

std::string StoreClient::get(const std::string& key, const Deadline& deadline, uint64_t offset,
                             uint64_t length) {
  const std::string payload = request(Encoder(Type::kGet).text(key).u64(offset).u64(length).frame(),
                                      Type::kValue, deadline);
  return std::string(store::Decoder(payload).text());
}

void StoreClient::wait(const std::vector<std::string>& keys, const Deadline& deadline) {
  Encoder encoder(Type::kWait);
  encoder.u32(static_cast<uint32_t>(keys.size()));
  for (const std::string& key : keys) encoder.text(key);
  request(encoder.frame(), Type::kDone, deadline);
}

store::Attendance StoreClient::who(const Deadline& deadline) {
  return store::Decoder(request(Encoder(Type::kWho).frame(), Type::kCame, deadline)).attendance();
}

void StoreClient::give_up(const std::string& reason) noexcept {
  if (broken_) return;
  try {
    const Deadline deadline = Deadline::after(kLastWords);
    send_all(Encoder(Type::kGiveUp).u8(0).text(reason.substr(0, 1000)).frame(), deadline);
    while (receive(deadline).type != Type::kFailed) {
    }
  } catch (...) {
    // Whoever could be told was told.
  }
  broken_ = true;
}

void StoreClient::time_out() {
  const std::string waited = elapsed();
  broken_ = true;
  try {
    const Deadline deadline = Deadline::after(kLastWords);
    send_all(Encoder(Type::kGiveUp).u8(1).text("it waited " + waited).frame(), deadline);
    // The answer to the request may still be on its way.
    while (true) {
      const Frame frame = receive(deadline);
      if (frame.type == Type::kFailed) throw failure(frame.payload);
    }
  } catch (const Late&) {
  } catch (const Lost&) {
  } catch (const store::Malformed&) {
  }
  throw Error(DEISA_ERROR_TIMEOUT, who_and_where() + ": rank 0 has stopped answering after " +
                                       waited + "; it may be suspended, or its machine is down")
      .at_rank(options_.rank);
}

void StoreClient::send_all(const std::string& frame, const Deadline& deadline) {
  size_t sent = 0;
  while (sent < frame.size()) {
    const ssize_t count = ::send(fd_.get(), frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (count > 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      wait_for(POLLOUT, deadline);
    } else if (errno != EINTR) {
      // An answer that explains the end may be there.
      if (errno == EPIPE || errno == ECONNRESET) return;
      throw Lost{describe(errno)};
    }
  }
}

StoreClient::Frame StoreClient::receive(const Deadline& deadline) {
  char length_bytes[store::kLengthBytes];
  receive_bytes(length_bytes, sizeof(length_bytes), deadline);
  const size_t length = store::frame_length(length_bytes);
  if (length == 0 || length > store::kMaxFrame + store::kMaxHello) {
    throw store::Malformed("a frame is too long");
  }
  std::string bytes(length, '\0');
  receive_bytes(bytes.data(), length, deadline);
  return {static_cast<Type>(bytes[0]), bytes.substr(1)};
}

void StoreClient::receive_bytes(char* to, size_t bytes, const Deadline& deadline) {
  while (bytes > 0) {
    const ssize_t count = ::recv(fd_.get(), to, bytes, 0);
    if (count > 0) {
      to += count;
      bytes -= static_cast<size_t>(count);
    } else if (count == 0) {
      throw Lost{"it was closed"};
    } else if (errno == EAGAIN) {
      wait_for(POLLIN, deadline);
    } else if (errno != EINTR) {
      throw Lost{describe(errno)};
    }
  }
}

void StoreClient::wait_for(short events, const Deadline& deadline) {
  while (true) {
    pollfd entry = {fd_.get(), events, 0};
    const int ready = ::poll(&entry, 1, deadline.poll_timeout());
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) throw Lost{describe(errno)};
    if (deadline.expired()) throw Late{};
  }
}

Error StoreClient::failure(std::string_view payload) const {
  store::Decoder decoder(payload);
  const auto status = static_cast<deisa_status>(decoder.i32());
  const bool late = decoder.u8() != 0;
  const std::string reason(decoder.text());
  const store::Attendance attendance = decoder.attendance();
  if (late) return timed_out(attendance, reason);
  return Error(status < 0 ? status : DEISA_ERROR_COMMUNICATOR, who_and_where() + ": " + reason)
      .at_rank(options_.rank);
}

std::string StoreClient::who_and_where() const {
  return "rank " + std::to_string(options_.rank) + " of " + std::to_string(options_.size) +
         ": rendezvous at " + options_.master_address + ":" + std::to_string(options_.master_port);
}

std::string StoreClient::elapsed() const {
  const std::chrono::duration<double> seconds = Deadline::Clock::now() - start_;
  return fixed_text(seconds.count(), 1) + " s";
}

Error StoreClient::unreachable(const std::string& last_problem) const {
  return Error(DEISA_ERROR_TIMEOUT,
               who_and_where() + ": the master could not be reached within " + elapsed() + " (" +
                   last_problem + "). Rank 0 of the expected world size " +
                   std::to_string(options_.size) +
                   " listens there once it starts. Likely causes: bridge 0 crashed, was never "
                   "started, or is blocked at start-up; it runs on another machine than "
                   "master_address; a firewall closes the port")
      .at_rank(options_.rank);
}

Error StoreClient::timed_out(const store::Attendance& attendance, const std::string& hint) const {
  const RankRanges missing = missing_ranks(attendance.came, attendance.size);
  return Error(DEISA_ERROR_TIMEOUT,
               who_and_where() + ": not every rank came within " + elapsed() +
                   ". Expected world size " + std::to_string(attendance.size) + "; " +
                   std::to_string(count_ranks(attendance.came)) +
                   " came: " + to_text(attendance.came) + "; " +
                   std::to_string(count_ranks(missing)) + " did not come: " + to_text(missing) +
                   ". Likely causes: a bridge crashed, was never started, or is blocked at "
                   "start-up; see the output of the ranks that did not come" +
                   (hint.empty() ? "" : " (" + hint + ")"))
      .at_rank(options_.rank);
}

}  // namespace deisa
