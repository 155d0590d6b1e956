// The bridge of one engine: arrays are defined by what the first step puts, steps are timesteps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "deisa/deisa.h"

namespace deisa::adios {

// A block of a variable, as the program gives it: `count` elements of the global array `shape`,
// from `start` on, last dimension fastest. `data` stays the program's.
struct Block {
  std::string name;
  deisa_dtype dtype;
  size_t element_bytes;
  std::vector<size_t> shape, start, count;
  const void* data;
};

// Throws what an ADIOS2 program expects: std::invalid_argument for data that do not fit what was
// defined, std::logic_error for calls in the wrong order, std::runtime_error for what failed.
class Stream {
 public:
  // Performs no communication. `settings`: by name, as in the settings file. The communicator may
  // be NULL, and then belongs to the bridge.
  Stream(const std::map<std::string, std::string>& settings, deisa_communicator* communicator);
  // A stream that was not closed is abandoned.
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void begin_step();
  // Takes the block now; without an open step it begins one, which close() ends.
  void put(const Block& block);
  // Takes it at the next perform_puts() or end_step().
  void put_later(const Block& block);
  void perform_puts();
  // Something that the analytics cannot have: named in one warning at the end of the step.
  void ignore(const std::string& what);
  // The first is collective: it defines the arrays and waits for the analytics.
  void end_step();
  // Collective.
  void close();

  // Of the open step, else of the next.
  int64_t step() const noexcept { return step_; }

 private:
  struct Kept {
    Block block;
    std::vector<char> copy;  // of the data, which may be gone; empty: it is the program's still
  };
  struct Place {
    deisa_dtype dtype;
    std::vector<size_t> shape, start, count;
  };

  void require_open_step(const char* call);
  void begin();
  void start();
  void define_arrays();
  void hand_over(const Block& block);
  bool is_late(const Block& block);
  void warn();
  template <typename... Parameters, typename... Arguments>
  deisa_status call(deisa_status (*function)(Parameters...), Arguments... arguments);

  deisa_bridge* bridge_ = nullptr;
  deisa_error error_ = {};
  int64_t step_ = 0;
  bool in_step_ = false;
  bool is_ready_ = false;
  bool is_closed_ = false;
  bool warns_ = false;
  std::vector<Kept> kept_;               // puts of the first step, and those for later
  std::map<std::string, Place> arrays_;  // those that are defined
  std::set<std::string> ignored_, new_ignored_;
};

}  // namespace deisa::adios
