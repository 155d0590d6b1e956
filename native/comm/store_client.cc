#include "comm/store_client.hpp"

#include <utility>

#include "comm/store_connection.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;
using Late = FrameSocket::Late;
using Lost = FrameSocket::Lost;

// For the last exchange with the master after a deadline.
constexpr double kLastWords = 2.0;

}  // namespace

StoreClient::StoreClient(const Options& options, const Deadline& deadline)
    : options_(options), messages_(options) {
  try {
    const StoreConnecting alone = {[&] { return RankRanges{{options_.rank, options_.rank}}; }, {}};
    StoreConnection connection = connect_to_store(options_, alone, deadline);
    socket_ = std::move(connection.socket);
    local_ = connection.local;
  } catch (const NoStoreConnection& none) {
    throw none.error(messages_);
  }
}

StoreClient::StoreClient(const Options& options, const StoreMessages& messages, FrameSocket socket,
                         StorePeer peer)
    : options_(options), messages_(messages), socket_(std::move(socket)), peer_(std::move(peer)) {}

StoreClient::~StoreClient() {
  if (!socket_ || broken_) return;
  try {
    socket_.send(Encoder(Type::kBye).frame(), Deadline::after(kLastWords));
  } catch (...) {
    // The other side finds out by the end of the connection.
  }
}

std::string StoreClient::request(const std::string& frame, Type expected,
                                 const Deadline& deadline) {
  try {
    if (broken_) throw Lost{"it failed before"};
    socket_.send(frame, deadline);
    FrameSocket::Frame answer = socket_.receive(deadline);
    if (answer.type == expected) return std::move(answer.payload);
    broken_ = true;
    if (answer.type == Type::kFailed) {
      throw messages_.failure(store::Decoder(answer.payload).failure());
    }
    throw store::Malformed("an answer that was not asked for");
  } catch (const Late&) {
    time_out();
  } catch (const Lost& lost) {
    broken_ = true;
    throw messages_.error(DEISA_ERROR_COMMUNICATOR,
                          "the connection to " + peer_.name + " ended (" + lost.reason +
                              "): " + (peer_.is_relay ? "it" : peer_.name) +
                              " crashed, was killed, or gave up; see its output");
  } catch (const store::Malformed& malformed) {
    throw invalid(malformed);
  }
}

Error StoreClient::invalid(const store::Malformed& malformed) {
  broken_ = true;
  return messages_.error(DEISA_ERROR_COMMUNICATOR,
                         "the answer of " + peer_.name + " is invalid (" + malformed.what() + ")");
}

template <typename Read>
auto StoreClient::take_apart(const std::string& payload, const Read& read) {
  try {
    store::Decoder decoder(payload);
    return read(decoder);
  } catch (const store::Malformed& malformed) {
    throw invalid(malformed);
  }
}

std::string StoreClient::rendezvous(const Deadline& deadline) {
  const std::string payload =
      request(Encoder(Type::kRendezvous).frame(), Type::kComplete, deadline);
  return take_apart(payload, [&](store::Decoder& decoder) {
    std::string host(decoder.text());
    const auto own = parse_address(std::string(decoder.text()), 0);
    if (own) local_ = *own;
    nodes_ = NodeMap::from_text(std::string(decoder.text()), options_.size);
    return host;
  });
}

void StoreClient::set(const std::string& key, const std::string& value, const Deadline& deadline) {
  if (key.size() > store::kMaxKey || value.size() > store::kMaxFrame - 2 * store::kMaxKey) {
    throw messages_.error(DEISA_ERROR_ARGUMENT, "a key or value is too long");
  }
  request(Encoder(Type::kSet).text(key).text(value).frame(), Type::kDone, deadline);
}

std::string StoreClient::get(const std::string& key, const Deadline& deadline) {
  const std::string payload =
      request(Encoder(Type::kGet).text(key).frame(), Type::kValue, deadline);
  return take_apart(payload, [](store::Decoder& decoder) {
    (void)decoder.text();
    return std::string(decoder.text());
  });
}

std::vector<std::string> StoreClient::exchange(int place, int places, const std::string& text,
                                               const Deadline& deadline) {
  if (text.size() > store::kMaxFrame - 2 * store::kMaxKey) {
    throw messages_.error(DEISA_ERROR_RESOURCE, "too many nodes for a full mesh (" +
                                                    std::to_string(places) +
                                                    "): give the bridges an MPI communicator");
  }
  const std::string payload = request(Encoder(Type::kExchange)
                                          .u32(static_cast<uint32_t>(place))
                                          .u32(static_cast<uint32_t>(places))
                                          .text(text)
                                          .frame(),
                                      Type::kExchanged, deadline);
  return take_apart(payload, [places](store::Decoder& decoder) {
    (void)decoder.u32();
    std::vector<std::string> parts;
    for (int from = 0; from < places; ++from) parts.emplace_back(decoder.text());
    return parts;
  });
}

void StoreClient::give_up(const std::string& reason) noexcept {
  if (broken_) return;
  try {
    const Deadline deadline = Deadline::after(kLastWords);
    socket_.send(
        Encoder(Type::kGiveUp).i32(options_.rank).u8(0).text(reason.substr(0, 1000)).frame(),
        deadline);
    while (socket_.receive(deadline).type != Type::kFailed) {
    }
  } catch (...) {
    // Whoever could be told was told.
  }
  broken_ = true;
}

void StoreClient::time_out() {
  const std::string waited = messages_.elapsed();
  bool relay_answers = false;
  broken_ = true;
  try {
    const Deadline deadline = Deadline::after(kLastWords);
    socket_.send(
        Encoder(Type::kGiveUp).i32(options_.rank).u8(1).text("it waited " + waited).frame(),
        deadline);
    // The answer to the request may still be on its way.
    while (true) {
      const FrameSocket::Frame frame = socket_.receive(deadline);
      if (frame.type == Type::kFailed) {
        throw messages_.failure(store::Decoder(frame.payload).failure());
      }
      relay_answers = relay_answers || frame.type == Type::kWaiting;
    }
  } catch (const Late&) {
  } catch (const Lost&) {
  } catch (const store::Malformed&) {
  }
  const bool is_relay = peer_.is_relay && !relay_answers;
  throw messages_.error(DEISA_ERROR_TIMEOUT, (is_relay ? peer_.name : "rank 0") +
                                                 " has stopped answering after " + waited +
                                                 "; it may be suspended" +
                                                 (is_relay ? "" : ", or its machine is down"));
}

}  // namespace deisa
