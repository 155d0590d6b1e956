// Sets of ranks as people read them: "0-3,7".
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace deisa {

// First and last rank of each run of neighbours, ascending.
using RankRanges = std::vector<std::pair<int, int>>;

// The ranks for which `present` is true.
RankRanges rank_ranges(const std::vector<bool>& present);
// These ranks, in any order.
RankRanges rank_ranges(std::vector<int> ranks);
// The ranks 0 ... size-1 that are not in `ranges`.
RankRanges missing_ranks(const RankRanges& ranges, int size);
// How many ranks they hold.
int count_ranks(const RankRanges& ranges);
// "0-3,7", or "none". After `limit` bytes the rest is counted, not listed.
std::string to_text(const RankRanges& ranges, size_t limit = 1000);

}  // namespace deisa
