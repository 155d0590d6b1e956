// What the relay of a node knows and answers, without its sockets. Used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "comm/secret_proof.hpp"
#include "comm/store_messages.hpp"
#include "comm/store_protocol.hpp"

namespace deisa::store {

class RelayState {
 public:
  // `options` are those of the rank that relays. `send` queues a frame for a connection and calls
  // nothing here.
  RelayState(const StoreOptions& options,
             std::function<void(uint64_t connection, const std::string& frame)> send);

  // The line of the rank that relays, which needs no HELLO.
  void add_own(uint64_t line);
  // HELLO or PROOF on a line. Throws Malformed for a stranger.
  Admission hello(uint64_t line, std::string_view frame);
  // A later frame, on a line or from the store. Returns false after BYE. Throws Malformed.
  bool request(uint64_t connection, std::string_view frame);
  // A connection ended without BYE.
  void gone(uint64_t connection);
  // Tells the store who has come since the last call.
  void report();

  // The store has accepted the rank that relays, on `upstream`. `own` is the address of this machine
  // that routes to the store.
  void reached(uint64_t upstream, const std::string& own);
  // Why the store has not been reached yet.
  void note_problem(const std::string& problem);
  // Ends it for all who have come, and who come.
  void fail(const Failure& failure);
  // Ends it for the ranks of all nodes, once the store is reached.
  void give_up(const std::string& reason);
  // Before the end.
  void say_goodbye();

  // Those who have come and not gone.
  RankRanges ranks() const;
  std::vector<uint64_t> lines() const;

 private:
  struct Line {
    int rank = -1;
    int32_t process = 0;
    bool known = false;  // to the store
    bool in_rendezvous = false;
    bool waiting = false;  // for a key or an exchange
  };

  bool from_line(uint64_t id, Line& line, std::string_view frame);
  void from_store(std::string_view frame);
  void get(uint64_t id, Line& line, std::string_view frame, Decoder& decoder);
  std::string waiting(const std::string& problem) const;
  std::string welcome() const;
  void fail_with(const std::string& frame);
  void answer(uint64_t line, const std::string& frame);

  const StoreOptions options_;
  SecretCheck secret_;
  const std::function<void(uint64_t, const std::string&)> send_;
  std::unordered_map<uint64_t, Line> lines_;
  std::vector<uint64_t> unreported_;
  uint64_t own_ = 0;
  bool own_gave_up_ = false;
  uint64_t upstream_ = 0;  // 0: not reached
  std::string own_address_;
  std::string problem_ = "no attempt was made";
  std::string complete_;  // the frame that says that every rank has come
  std::string failure_;   // the frame that ends everything
  std::unordered_map<std::string, std::string> values_;  // the store's answers, by key
  size_t value_bytes_ = 0;
  std::unordered_map<std::string, std::vector<uint64_t>> waiting_;  // lines by key
  std::unordered_map<uint32_t, uint64_t> exchanging_;               // lines by place
};

}  // namespace deisa::store
