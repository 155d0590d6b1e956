// The bridge through its C ABI, against the real receiver in this process and a node actor that
// stores and announces at once: everything but Ray.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bridge/testing/calls.hpp"
#include "bridge/testing/fake_node.hpp"
#include "chunk/metadata.hpp"
#include "deisa/deisa.h"

namespace {

using deisa::testing::FakeNode;
using deisa::testing::loan;
using deisa::testing::send_from;

// A bridge of one rank with arrays of `bytes` bytes each, ready.
class Rank {
 public:
  Rank(size_t bytes, int arrays, deisa_acknowledge level) : data_(bytes / sizeof(double), 1.0) {
    node_.keep_nothing();
    deisa::testing::set_node("", &node_);
    deisa_options options = DEISA_OPTIONS_INIT;
    options.error_mode = DEISA_ERRORS_RETURN;
    options.acknowledge = level;
    check(deisa_open(&options, &bridge_, &error_));
    const auto extent = static_cast<int64_t>(data_.size());
    const int64_t shape[] = {extent}, grid[] = {1}, position[] = {0};
    deisa_layout layout = DEISA_LAYOUT_INIT;
    layout.ndim = 1;
    layout.chunk_shape = shape;
    layout.nb_chunks_per_dim = grid;
    layout.chunk_position = position;
    for (int i = 0; i < arrays; ++i) {
      names_.push_back("array" + std::to_string(i));
      check(deisa_define(bridge_, names_.back().c_str(), &layout, &error_));
    }
    check(deisa_ready(bridge_, &error_));
  }
  ~Rank() { deisa_abandon(&bridge_); }
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  void send(int array) {
    check(deisa_send(bridge_, name(array), data_.data(), timestep_, &error_));
  }
  void send_loan(void** buffer) {
    if (*buffer == nullptr) check(deisa_loan(bridge_, name(0), buffer, nullptr, &error_));
    check(send_from(bridge_, name(0), loan(buffer), timestep_, nullptr, &error_));
  }
  void send_step() {
    check(deisa_begin_step(bridge_, timestep_, &error_));
    for (const std::string& each : names_) {
      check(deisa_put(bridge_, each.c_str(), data_.data(), &error_));
    }
    check(deisa_end_step(bridge_, nullptr, &error_));
  }
  void next() { ++timestep_; }
  // Nothing is left of it in the node actor: slots are free, and in this process' cache.
  void flush() { check(deisa_flush(bridge_, &error_)); }
  deisa_bridge* get() { return bridge_; }

 private:
  const char* name(int array) const { return names_[static_cast<size_t>(array)].c_str(); }
  void check(deisa_status status) {
    if (status < 0) throw std::runtime_error(error_.message);
  }

  FakeNode node_;
  deisa_bridge* bridge_ = nullptr;
  deisa_error error_ = {};
  std::vector<double> data_;
  std::vector<std::string> names_;
  int64_t timestep_ = 0;
};

deisa_acknowledge level_of(const benchmark::State& state) {
  return static_cast<deisa_acknowledge>(state.range(1));
}

// From the call to the acknowledgement of the level.
void send(benchmark::State& state) {
  Rank rank(static_cast<size_t>(state.range(0)), 1, level_of(state));
  for (auto _ : state) {
    rank.send(0);
    rank.next();
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(send)
    ->ArgNames({"bytes", "level"})
    ->ArgsProduct({{4096, 262144, 2097152, 67108864}, {0, 1, 2}})
    ->UseRealTime();

void send_loan(benchmark::State& state) {
  Rank rank(static_cast<size_t>(state.range(0)), 1, DEISA_ACK_RECEIVED);
  void* buffer = nullptr;
  for (auto _ : state) {
    rank.send_loan(&buffer);
    rank.next();
  }
}
BENCHMARK(send_loan)->ArgName("bytes")->Arg(4096)->Arg(67108864)->UseRealTime();

void eight_sends(benchmark::State& state) {
  Rank rank(4096, 8, DEISA_ACK_RECEIVED);
  for (auto _ : state) {
    for (int i = 0; i < 8; ++i) rank.send(i);
    rank.next();
    state.PauseTiming();
    rank.flush();
    state.ResumeTiming();
  }
}
BENCHMARK(eight_sends)->UseRealTime();

void step_of_eight(benchmark::State& state) {
  Rank rank(4096, 8, DEISA_ACK_RECEIVED);
  for (auto _ : state) {
    rank.send_step();
    rank.next();
    state.PauseTiming();
    rank.flush();
    state.ResumeTiming();
  }
}
BENCHMARK(step_of_eight)->UseRealTime();

// What a call costs that does nothing: through the lock, and through the library's boundary alone.
void c_abi_status(benchmark::State& state) {
  Rank rank(4096, 1, DEISA_ACK_RECEIVED);
  deisa_statistics status = {};
  status.struct_size = sizeof(status);
  for (auto _ : state) {
    benchmark::DoNotOptimize(deisa_get_statistics(rank.get(), &status, nullptr));
  }
}
BENCHMARK(c_abi_status);

// The same call as in Crossing.java.
void c_abi_disabled(benchmark::State& state) {
  deisa_bridge* bridge = nullptr;
  ::setenv("DEISA_DISABLE", "1", 1);
  const deisa_status status = deisa_open(nullptr, &bridge, nullptr);
  ::unsetenv("DEISA_DISABLE");
  if (status != DEISA_OK) state.SkipWithError("deisa_open failed");
  int64_t timestep = 0;
  for (auto _ : state) benchmark::DoNotOptimize(deisa_begin_step(bridge, timestep++, nullptr));
  deisa_abandon(&bridge);
}
BENCHMARK(c_abi_disabled);

void c_abi_version(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(deisa_version());
}
BENCHMARK(c_abi_version);

void validate_metadata(benchmark::State& state) {
  const nlohmann::json metadata = {{"chunk_shape", {64, 64, 64}},
                                   {"nb_chunks_per_dim", {4, 4, 4}},
                                   {"dtype", "float64"},
                                   {"chunk_position", {1, 2, 3}}};
  for (auto _ : state) {
    deisa::Problems problems;
    benchmark::DoNotOptimize(deisa::parse_metadata("temperature", metadata, problems));
  }
}
BENCHMARK(validate_metadata);

void validate_refused(benchmark::State& state) {
  const nlohmann::json metadata = {{"chunk_shape", {0, 64}}, {"dtype", "text"}};
  for (auto _ : state) {
    deisa::Problems problems;
    benchmark::DoNotOptimize(deisa::parse_metadata("temperature", metadata, problems));
  }
}
BENCHMARK(validate_refused);

}  // namespace
