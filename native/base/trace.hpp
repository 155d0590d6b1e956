// What a process did when, for DEISA_TRACE: one file for all processes of a run, in Chrome's trace
// format (about:tracing, Perfetto). Times are those of CLOCK_MONOTONIC, which all processes of a
// machine share.
//
// The file is a JSON array at any time: whoever adds events locks it, and replaces its end by them
// and a new end, in one write. So it can be read after a process was killed, whose last call is then
// missing; and while the run goes on by whoever locks it (shared), since reading takes several calls.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "base/file_descriptor.hpp"

namespace deisa {

// Thread-safe.
class Trace {
 public:
  using Clock = std::chrono::steady_clock;

  // `process` is how this process is called in the trace. Throws Error(DEISA_ERROR_ARGUMENT) when
  // the file cannot be opened.
  Trace(const std::string& file, const std::string& process);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // Its absolute name, for other processes.
  const std::string& name() const noexcept { return name_; }
  // Empties the file, from an earlier run. For one process of each node, before there are events.
  void begin() noexcept;
  // Adds a span; `array` may be empty. `end` may be as `begin`. Does not touch the file. `row`: where
  // viewers draw it, 0 among those of this thread. Of one row, spans follow or contain each other.
  void add(std::string_view name, int rank, std::string_view array, int64_t timestep,
           Clock::time_point begin, Clock::time_point end, int32_t row = 0) noexcept;
  // Writes what was added. Another process that holds the file for more than a second is not waited
  // for: then the next flush writes it.
  void flush() noexcept;
  // As above, if the last flush was some time ago.
  void flush_now_and_then() noexcept;

 private:
  bool write(const std::string& events) const noexcept;

  std::string name_;
  FileDescriptor file_;
  std::mutex mutex_;
  std::string events_;  // JSON objects with commas between them
  Clock::time_point flushed_{};
};

// A span from here to the end of the scope. Without a trace it is a test of a pointer.
class TraceSpan {
 public:
  TraceSpan(Trace* trace, const char* name, int rank, const std::string& array, int64_t timestep)
      : trace_(trace) {
    if (trace_ == nullptr) return;
    name_ = name;
    rank_ = rank;
    array_ = &array;
    timestep_ = timestep;
    begin_ = Trace::Clock::now();
  }
  ~TraceSpan() {
    if (trace_ != nullptr) {
      trace_->add(name_, rank_, *array_, timestep_, begin_, Trace::Clock::now());
    }
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  Trace* trace_;
  const char* name_ = nullptr;
  int rank_ = 0;
  const std::string* array_ = nullptr;  // outlives the scope
  int64_t timestep_ = 0;
  Trace::Clock::time_point begin_{};
};

// Flushes at the end of the scope: of a call of the simulation's.
class TraceCall {
 public:
  explicit TraceCall(Trace* trace) : trace_(trace) {}
  ~TraceCall() {
    if (trace_ != nullptr) trace_->flush();
  }
  TraceCall(const TraceCall&) = delete;
  TraceCall& operator=(const TraceCall&) = delete;

 private:
  Trace* trace_;
};

}  // namespace deisa
