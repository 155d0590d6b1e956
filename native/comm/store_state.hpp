// What the rendezvous store knows and answers, without its sockets. Used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/address.hpp"
#include "comm/store_protocol.hpp"
#include "deisa/deisa.h"

namespace deisa::store {

class State {
 public:
  // `max_bytes` bounds keys and values. `send` queues a frame for a connection and
  // calls nothing here.
  State(int size, std::string secret, size_t max_bytes,
        std::function<void(uint64_t connection, const std::string& frame)> send);

  // A first frame, HELLO or PROBE. `from` is the client, `reached` the address of this machine it
  // connected to. Returns false when the connection is to be closed (after sending what is to be
  // sent); throws Malformed for a stranger, who gets no answer.
  bool hello(uint64_t connection, std::string_view frame, const std::string& from,
             const std::optional<Address>& reached);
  // A later frame. Returns false after BYE. Throws Malformed.
  bool request(uint64_t connection, std::string_view frame);
  // The connection ended without BYE.
  void gone(uint64_t connection);
  // Time is up. Fails all, unless every rank has come. `hint` is added to the reason.
  void expire(const std::string& hint);

  bool complete() const { return present_ == size_; }
  // Who was refused without ending the rendezvous, and why; "": nobody.
  const std::string& refused() const { return refused_; }
  bool failed() const { return !failure_.empty(); }
  Attendance attendance() const { return {size_, rank_ranges(came_)}; }

 private:
  // A request that waits for keys.
  struct Pending {
    std::vector<std::string> keys;  // those not seen yet, next one last
    bool get = false;
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  struct Member {
    int rank = -1;
    std::string from;
    bool in_rendezvous = false;
    std::optional<Pending> pending;
  };

  void rendezvous(uint64_t connection, Member& member);
  void set(uint64_t connection, Decoder& decoder);
  void advance(uint64_t connection, Member& member);
  void fail(deisa_status status, bool timed_out, const std::string& reason);
  std::string failure_frame(deisa_status status, bool timed_out, const std::string& reason) const;
  void note_address(const std::optional<Address>& reached);

  const int size_;
  const std::string secret_;
  const size_t max_bytes_;
  const std::function<void(uint64_t, const std::string&)> send_;

  std::unordered_map<uint64_t, Member> members_;
  std::vector<uint64_t> connection_of_;  // of each rank; 0: not there
  std::vector<bool> came_;
  int present_ = 0;
  std::unordered_map<std::string, std::string> values_;
  std::unordered_map<std::string, std::vector<uint64_t>> waiting_;  // connections by key
  size_t bytes_ = 0;
  std::string refused_;
  std::string failure_;  // the frame that ends everything
  std::string host_;     // how other machines reach this one, best so far
  int host_quality_ = 0;
};

}  // namespace deisa::store
