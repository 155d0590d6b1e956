// What the rendezvous store knows and answers, without its sockets. Used by one thread.
//
// It works for connections, of which each speaks for one rank or, as the relay of a node does, for
// several. All that it does for a single rank is to note that it came.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/address.hpp"
#include "comm/secret_proof.hpp"
#include "comm/store_exchange.hpp"
#include "comm/store_protocol.hpp"
#include "deisa/deisa.h"

namespace deisa::store {

class State {
 public:
  // `max_bytes` bounds keys and values. `send` queues a frame for a connection and
  // calls nothing here.
  State(int size, std::string secret, size_t max_bytes,
        std::function<void(uint64_t connection, const std::string& frame)> send);

  // A frame of one that has not checked in: HELLO, PROOF or PROBE. `from` is the client, `reached`
  // the address of this machine it connected to. Throws Malformed for a stranger, who gets no answer.
  Admission hello(uint64_t connection, std::string_view frame, const std::string& from,
                  const std::optional<Address>& reached);
  // A later frame. Returns false after BYE. Throws Malformed.
  bool request(uint64_t connection, std::string_view frame);
  // The connection ended without BYE.
  void gone(uint64_t connection);
  // Time is up. Fails all, unless every rank has come.
  void expire();
  // No more connections can be accepted, for `reason`.
  void refuse_more(const std::string& reason);

  bool complete() const { return present_ == size_; }
  bool failed() const { return !failure_.empty(); }
  Attendance attendance() const { return {size_, rank_ranges(came_)}; }

 private:
  struct Member {
    int rank = -1;     // its own
    std::string from;  // the host and port of its end
    int node = 0;
    std::unordered_map<uint64_t, int> ranks;  // others that it speaks for, by line
    size_t waiting = 0;                       // for values of keys
    bool in_rendezvous = false;
    bool in_exchange = false;
  };
  // By rank: who speaks for it.
  struct Presence {
    uint64_t connection = 0;  // 0: it did not come
    int32_t process = 0;
  };

  Admission refuse(uint64_t connection, deisa_status status, const std::string& who,
                   const std::string& reason);
  Admission admit(uint64_t connection, const Hello& hello, const std::string& from,
                  const std::optional<Address>& reached);
  bool check_in(uint64_t connection, Member& member, int rank, int32_t process,
                std::string* problem);
  void came(uint64_t connection, Member& member, Decoder& decoder);
  void everyone_came();
  void set(uint64_t connection, Decoder& decoder);
  void get(uint64_t connection, Member& member, Decoder& decoder);
  void exchange(uint64_t connection, Member& member, Decoder& decoder);
  bool full(size_t needed, size_t freed);
  void fail(deisa_status status, bool timed_out, const std::string& reason);
  std::string failure_frame(deisa_status status, bool timed_out, const std::string& reason) const;
  void note_address(const std::optional<Address>& reached);

  const int size_;
  SecretCheck secret_;
  const size_t max_bytes_;
  const std::function<void(uint64_t, const std::string&)> send_;

  std::unordered_map<uint64_t, Member> members_;
  std::unordered_map<std::string, int> nodes_;  // numbers of the nodes' keys
  std::vector<Presence> presence_;
  std::vector<int> node_of_;  // by rank
  std::vector<bool> came_;
  int present_ = 0;
  std::string complete_;  // the frame that says that every rank has come
  std::unordered_map<std::string, std::string> values_;
  std::unordered_map<std::string, std::vector<uint64_t>> waiting_;  // connections by key
  std::optional<Exchange> exchange_;
  size_t bytes_ = 0;
  std::string refused_;  // who was refused without ending the rendezvous, and why
  std::string failure_;  // the frame that ends everything
  std::string host_;     // how other machines reach this one, best so far
  int host_quality_ = 0;
};

}  // namespace deisa::store
