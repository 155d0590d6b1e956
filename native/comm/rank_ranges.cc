#include "comm/rank_ranges.hpp"

#include <algorithm>

namespace deisa {
namespace {

// No rank in `ranges` is above `rank`.
void append(RankRanges& ranges, int rank) {
  if (!ranges.empty() && rank <= ranges.back().second + 1) {
    ranges.back().second = rank;
  } else {
    ranges.emplace_back(rank, rank);
  }
}

}  // namespace

RankRanges rank_ranges(const std::vector<bool>& present) {
  RankRanges ranges;
  for (int rank = 0; rank < static_cast<int>(present.size()); ++rank) {
    if (present[static_cast<size_t>(rank)]) append(ranges, rank);
  }
  return ranges;
}

RankRanges rank_ranges(std::vector<int> ranks) {
  std::sort(ranks.begin(), ranks.end());
  RankRanges ranges;
  for (const int rank : ranks) append(ranges, rank);
  return ranges;
}

RankRanges missing_ranks(const RankRanges& ranges, int size) {
  RankRanges missing;
  int next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) missing.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next < size) missing.emplace_back(next, size - 1);
  return missing;
}

int count_ranks(const RankRanges& ranges) {
  int count = 0;
  for (const auto& [first, last] : ranges) count += last - first + 1;
  return count;
}

std::string to_text(const RankRanges& ranges, size_t limit) {
  if (ranges.empty()) return "none";
  std::string text;
  int listed = 0;
  for (const auto& [first, last] : ranges) {
    if (text.size() > limit) {
      return text + " and " + std::to_string(count_ranks(ranges) - listed) + " more";
    }
    if (!text.empty()) text += ',';
    text += std::to_string(first);
    if (last != first) text += '-' + std::to_string(last);
    listed += last - first + 1;
  }
  return text;
}

}  // namespace deisa
