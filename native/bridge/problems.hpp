// Collects everything that is wrong with one call, so that it is reported together.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"

namespace deisa {

class Problems {
 public:
  void add(std::string text) { texts_.push_back(std::move(text)); }
  bool empty() const noexcept { return texts_.empty(); }
  size_t size() const noexcept { return texts_.size(); }

  // Throws one Error with `heading` and every problem, if there is any.
  void raise(deisa_status status, const std::string& heading) const {
    if (texts_.empty()) return;
    std::string message = heading;
    for (const std::string& text : texts_) message += "\n  - " + text;
    throw Error(status, message);
  }

 private:
  std::vector<std::string> texts_;
};

}  // namespace deisa
