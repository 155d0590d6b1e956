// A rank's side of the rendezvous store. Used by one thread at a time. Every failure is an Error
// with a complete message: who is talking, what it waited for, who came and who did not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "comm/refusal.hpp"
#include "comm/store_protocol.hpp"

namespace deisa {

class StoreClient {
 public:
  struct Options {
    int rank = 0;
    int size = 1;
    std::string master_address;
    int master_port = 0;
    std::string secret;
    std::string connect_to;  // instead of master_address, unless empty: rank 0 goes by loopback
  };

  // Connects, trying again until `deadline`, and checks in.
  StoreClient(const Options& options, const Deadline& deadline);
  // Says good-bye, unless something failed.
  ~StoreClient();
  StoreClient(const StoreClient&) = delete;
  StoreClient& operator=(const StoreClient&) = delete;

  // Waits until every rank has checked in. Returns the address at which other machines reach the
  // master's; "" when none is known. Past the deadline all ranks fail with
  // Error(DEISA_ERROR_TIMEOUT).
  std::string rendezvous(const Deadline& deadline);
  void set(const std::string& key, const std::string& value, const Deadline& deadline);
  // Part of the value of `key`, once it is there.
  std::string get(const std::string& key, const Deadline& deadline, uint64_t offset = 0,
                  uint64_t length = UINT64_MAX);
  // Until all keys are there.
  void wait(const std::vector<std::string>& keys, const Deadline& deadline);
  // Which ranks have come.
  store::Attendance who(const Deadline& deadline);
  // Ends the rendezvous for everyone who is waiting in it.
  void give_up(const std::string& reason) noexcept;

  // Of this end of the connection: the address of this machine that routes to the master.
  const Address& local_address() const { return local_; }

 private:
  struct Frame {
    store::Type type;
    std::string payload;
  };
  void connect(const Deadline& deadline);
  bool check_in(const Address& address, RefusalQuestion& question, const Deadline& deadline);
  [[noreturn]] void refused(const Error& why) const;
  std::string request(std::string frame, store::Type expected, const Deadline& deadline);
  void send_all(const std::string& frame, const Deadline& deadline);
  Frame receive(const Deadline& deadline);
  void receive_bytes(char* to, size_t bytes, const Deadline& deadline);
  void wait_for(short events, const Deadline& deadline);
  Error failure(std::string_view payload) const;
  // After this rank's own deadline: tells the others, and learns who came.
  [[noreturn]] void time_out();

  std::string who_and_where() const;
  std::string elapsed() const;
  Error unreachable(const std::string& last_problem) const;
  Error timed_out(const store::Attendance& attendance, const std::string& hint) const;

  const Options options_;
  const Deadline::Clock::time_point start_ = Deadline::Clock::now();
  FileDescriptor fd_;
  Address local_;
  bool broken_ = false;
};

}  // namespace deisa
