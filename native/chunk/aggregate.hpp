// Whether the chunks that the ranks of a node have of an array become one.
#pragma once

#include <array>
#include <optional>
#include <string>

namespace deisa {

// In the order of the words of the setting `aggregate`.
enum class Aggregate {
  kNone,  // each chunk is an object of its own
  kNode,  // the chunks of a node are one object
  kAuto,  // as few objects as a rectilinear grid allows
};

inline constexpr std::array<const char*, 3> kAggregateWords = {"none", "node", "auto"};
inline constexpr const char* kAggregateRule = "\"none\", \"node\" or \"auto\"";

inline std::optional<Aggregate> aggregate_from_word(const std::string& word) {
  for (size_t i = 0; i < kAggregateWords.size(); ++i) {
    if (word == kAggregateWords[i]) return static_cast<Aggregate>(i);
  }
  return std::nullopt;
}

inline const char* word_of(Aggregate aggregate) {
  return kAggregateWords[static_cast<size_t>(aggregate)];
}

}  // namespace deisa
