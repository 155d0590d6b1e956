// One rank of a test: a bridge with the array "t" of shape (2, 3), float64, and shorthands.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "bridge/testing/calls.hpp"
#include "deisa/deisa.h"

namespace deisa::testing {

struct Rank {
  deisa_bridge* bridge = nullptr;
  deisa_error error = {};
  deisa_options options = DEISA_OPTIONS_INIT;

  Rank() = default;
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;
  ~Rank() { deisa_abandon(&bridge); }

  deisa_status open() { return deisa_open(&options, &bridge, &error); }
  // Defines an array of `chunks` chunks side by side, of which this is number `position`.
  deisa_status define(const char* name, int64_t position = 0, int64_t chunks = 1,
                      deisa_dtype dtype = DEISA_FLOAT64) {
    const int64_t shape[] = {2, 3}, grid[] = {1, chunks}, at[] = {0, position};
    deisa_layout layout = DEISA_LAYOUT_INIT;
    layout.dtype = dtype;
    layout.ndim = 2;
    layout.chunk_shape = shape;
    layout.nb_chunks_per_dim = grid;
    layout.chunk_position = at;
    return deisa_define(bridge, name, &layout, &error);
  }
  deisa_status ready() { return deisa_ready(bridge, &error); }
  deisa_status send(const char* name, double value, int64_t timestep) {
    const auto data = values(value);
    return deisa_send(bridge, name, data.data(), timestep, &error);
  }
  deisa_status put(const char* name, double value) {
    const auto data = values(value);
    return deisa_put(bridge, name, data.data(), &error);
  }
  deisa_status begin(int64_t timestep) { return deisa_begin_step(bridge, timestep, &error); }
  deisa_status end() { return deisa_end_step(bridge, nullptr, &error); }
  deisa_status close(int64_t timestep) { return deisa_close(&bridge, timestep, &error); }
  std::string message() const { return error.message; }

  static std::array<double, 6> values(double value) {
    return {value, value + 1, value + 2, value + 3, value + 4, value + 5};
  }
};

inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "\"" << text << "\" misses \"" << part << "\"";
}

}  // namespace deisa::testing
