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
  const std::vector<std::string>& texts() const noexcept { return texts_; }
  size_t size() const noexcept { return texts_.size(); }

  // Throws one Error with `heading` and every problem, if there is any.
  void raise(deisa_status status, const std::string& heading) const {
    if (texts_.empty()) return;
    std::string message = heading;
    for (size_t i = 0; i < texts_.size(); ++i) {
      // What does not fit into a deisa_error is counted at least.
      if (i > 0 && message.size() + texts_[i].size() > kRoom) {
        message += "\n  - and " + std::to_string(texts_.size() - i) + " more problems";
        break;
      }
      message += "\n  - " + texts_[i];
    }
    throw Error(status, message);
  }

 private:
  static constexpr size_t kRoom = sizeof(deisa_error::message) - 100;
  std::vector<std::string> texts_;
};

}  // namespace deisa
