// Ranks that meet, through Gloo: the rendezvous, and a barrier. The ranks are threads.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/testing/free_port.hpp"
#include "deisa/deisa_gloo.h"

namespace {

// `size` ranks that have met, or an error.
struct World {
  explicit World(int size) : ranks(static_cast<size_t>(size)), errors(ranks.size()) {
    const int port = deisa::testing::free_port();
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank) {
      threads.emplace_back([&, rank] {
        const auto i = static_cast<size_t>(rank);
        deisa_error error = {};
        if (deisa_gloo_open(rank, size, "127.0.0.1", port, 60, &ranks[i], &error) != DEISA_OK) {
          errors[i] = error.message;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  ~World() {
    std::vector<std::thread> threads;
    for (const deisa_communicator& one : ranks) {
      if (one.release != nullptr) threads.emplace_back([&one] { one.release(one.self); });
    }
    for (std::thread& thread : threads) thread.join();
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  std::string problem() const {
    for (const std::string& error : errors) {
      if (!error.empty()) return error;
    }
    return {};
  }

  std::vector<deisa_communicator> ranks;
  std::vector<std::string> errors;
};

void rendezvous(benchmark::State& state) {
  for (auto _ : state) {
    const World world(static_cast<int>(state.range(0)));
    if (!world.problem().empty()) {
      state.SkipWithError(world.problem().c_str());
      break;
    }
  }
}
BENCHMARK(rendezvous)->ArgName("ranks")->Arg(1)->Arg(4)->Arg(16)->UseRealTime();

void gloo_barrier(benchmark::State& state) {
  const World world(static_cast<int>(state.range(0)));
  if (!world.problem().empty()) {
    state.SkipWithError(world.problem().c_str());
    return;
  }
  const auto times = static_cast<uint64_t>(state.max_iterations);
  const auto meet = [&](size_t rank) {
    const deisa_communicator& one = world.ranks[rank];
    deisa_error error = {};
    return one.barrier(one.self, 60, &error) == DEISA_OK;
  };
  std::vector<std::thread> others;
  for (size_t rank = 1; rank < world.ranks.size(); ++rank) {
    others.emplace_back([&, rank] {
      for (uint64_t i = 0; i < times && meet(rank); ++i) {
      }
    });
  }
  for (auto _ : state) benchmark::DoNotOptimize(meet(0));
  for (std::thread& other : others) other.join();
}
BENCHMARK(gloo_barrier)->ArgName("ranks")->Arg(2)->Arg(4)->Arg(16)->UseRealTime();

}  // namespace
