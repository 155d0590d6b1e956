// What the settings file says of arrays: which are sent, how often, and as what.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "chunk/aggregate.hpp"

namespace deisa {

struct ArrayFilter {
  bool send = true;
  int64_t every = 1;                        // it is sent at the timesteps that this divides
  std::optional<Aggregate> aggregate = {};  // if the file says it

  bool passes(int64_t timestep) const { return send && timestep % every == 0; }
};

// By array; one without a filter is always sent.
class ArrayFilters {
 public:
  // The name that stands for every array without an entry of its own.
  static constexpr const char* kAny = "*";

  void add(const std::string& name, const ArrayFilter& filter) { by_name_[name] = filter; }
  ArrayFilter of(const std::string& name) const;
  // The names of the entries, but for kAny.
  std::vector<std::string> names() const;
  // All of it, for comparing and for messages: equal texts filter alike.
  std::string text() const;

 private:
  std::map<std::string, ArrayFilter> by_name_;
};

}  // namespace deisa
