// One exchange of all with all: each place gives every place a part of its text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace deisa::store {

class Exchange {
 public:
  // `number` places take part.
  explicit Exchange(uint32_t number) : texts_(number), connections_(number, 0) {}

  // What `place` gives, in `number` parts of equal size. Throws Malformed.
  void add(uint32_t place, uint32_t number, uint64_t connection, std::string_view text);
  bool complete() const { return came_ == texts_.size(); }
  // Once it is complete: the connection of each place.
  const std::vector<uint64_t>& connections() const { return connections_; }
  // The frame for a place.
  std::string answer(uint32_t place) const;
  size_t bytes() const { return bytes_; }

 private:
  std::vector<std::string> texts_;
  std::vector<uint64_t> connections_;
  size_t came_ = 0;
  size_t bytes_ = 0;
};

}  // namespace deisa::store
