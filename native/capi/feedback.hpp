// Feedback values as they travel (MessagePack) and as numbers of C.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "deisa/deisa.h"

namespace deisa {

// The number that `packed` holds: a bool, an integer or a float (also as a NumPy array of one
// element). Throws Error(DEISA_ERROR_ARGUMENT) for any other value, and when it does not fit
// exactly.
double unpack_double(const std::string& key, const std::string& packed);
int64_t unpack_int64(const std::string& key, const std::string& packed);

// A value as deisa_value, and the memory that it points to.
class FeedbackValue {
 public:
  // Throws Error(DEISA_ERROR_INTERNAL) if `packed` is no such value, and Error
  // (DEISA_ERROR_UNSUPPORTED) if it is too deep, or has a key with NUL in it.
  FeedbackValue(const std::string& key, const std::string& packed);
  FeedbackValue(const FeedbackValue&) = delete;
  FeedbackValue& operator=(const FeedbackValue&) = delete;

  const deisa_value& root() const noexcept { return root_; }

 private:
  deisa_value convert(const nlohmann::json& from);
  deisa_value array(const std::vector<uint8_t>& packed);
  void add_items(deisa_value& value, std::vector<deisa_value> items);
  const void* keep(const void* bytes, size_t size);
  [[noreturn]] void malformed(const std::string& what) const;

  std::string key_;
  // Deques: what is in them does not move.
  std::deque<std::vector<std::max_align_t>> memory_;
  std::deque<std::vector<int64_t>> shapes_;
  std::deque<std::vector<const char*>> keys_;
  std::deque<std::vector<deisa_value>> items_;
  deisa_value root_ = {};
};

}  // namespace deisa
