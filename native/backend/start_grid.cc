#include "backend/start_grid.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "chunk/layout.hpp"

namespace deisa {
namespace {

constexpr size_t kMostNamed = 8;  // of a kind of problem

std::string rank_text(int rank) { return "rank " + std::to_string(rank); }

// Indices of one dimension, such as "4 to 6".
std::string range_text(int64_t from, int64_t end) {
  return end - from == 1 ? std::to_string(from)
                         : std::to_string(from) + " to " + std::to_string(end - 1);
}

std::string block_text(const Block& block) {
  return rank_text(block.rank) + " (start " + shape_text(block.start) + ", chunk_shape " +
         shape_text(block.shape) + ")";
}

class Derivation {
 public:
  Derivation(const std::string& array, const std::vector<Block>& blocks,
             const std::vector<int64_t>& global_shape, Problems& problems)
      : array_(array), blocks_(blocks), global_shape_(global_shape), problems_(problems) {}

  std::optional<std::vector<std::vector<int64_t>>> derive() {
    const size_t before = problems_.size();
    for (size_t d = 0; d < global_shape_.size(); ++d) cut(d);
    const bool on_lines = crossing_.empty() && problems_.size() == before;
    if (on_lines && is_full()) return std::move(extents_);
    refuse_overlaps();
    if (on_lines) refuse_holes();
    if (problems_.size() == before) problem(crossing_);
    return std::nullopt;
  }

 private:
  void problem(const std::string& text) { problems_.add("array '" + array_ + "': " + text); }

  // The ranges of dimension `d` that the blocks have: each is a grid line, if they fill it.
  void cut(size_t d) {
    std::map<std::pair<int64_t, int64_t>, int> ranges;  // start and end, and a rank that has it
    for (const Block& block : blocks_) {
      ranges.emplace(std::pair(block.start[d], block.start[d] + block.shape[d]), block.rank);
    }
    extents_.emplace_back();
    int64_t end = 0;  // of the ranges so far
    const std::pair<const std::pair<int64_t, int64_t>, int>* last = nullptr;
    for (const auto& range : ranges) {
      const auto [from, to] = range.first;
      if (from < end && crossing_.empty()) {
        crossing_ = "dimension " + std::to_string(d) + ": " + rank_text(last->second) +
                    " has the indices " + range_text(last->first.first, last->first.second) + ", " +
                    rank_text(range.second) + " has " + range_text(from, to) +
                    ": expected a rectilinear grid, in which two chunks have the same indices of a "
                    "dimension or none in common";
      }
      if (from > end)
        gap(d, end, from, "where the chunk of " + rank_text(range.second) + " starts");
      extents_.back().push_back(to - from);
      if (to > end) {
        end = to;
        last = &range;
      }
    }
    if (end < global_shape_[d]) gap(d, end, global_shape_[d], "the end of global_shape");
  }

  void gap(size_t d, int64_t from, int64_t to, const std::string& where) {
    problem("dimension " + std::to_string(d) + ": no bridge has the indices " +
            range_text(from, to) + ", before " + where +
            ": expected chunks without gaps that fill global_shape " + shape_text(global_shape_));
  }

  // Blocks that share elements, the first few.
  void refuse_overlaps() {
    std::vector<const Block*> sorted;
    for (const Block& block : blocks_) sorted.push_back(&block);
    std::sort(sorted.begin(), sorted.end(), [](const Block* a, const Block* b) {
      return std::pair(a->start, a->rank) < std::pair(b->start, b->rank);
    });
    size_t named = 0;
    for (size_t i = 0; i < sorted.size(); ++i) {
      for (size_t j = i + 1; j < sorted.size() && named < kMostNamed; ++j) {
        if (sorted[j]->start[0] >= sorted[i]->start[0] + sorted[i]->shape[0]) break;
        named += refuse_overlap(*sorted[i], *sorted[j]);
      }
    }
  }

  bool refuse_overlap(const Block& a, const Block& b) {
    std::string shared;
    for (size_t d = 0; d < global_shape_.size(); ++d) {
      const int64_t from = std::max(a.start[d], b.start[d]);
      const int64_t end = std::min(a.start[d] + a.shape[d], b.start[d] + b.shape[d]);
      if (from >= end) return false;
      shared += (d == 0 ? "" : ", ") + range_text(from, end) + " of dimension " + std::to_string(d);
    }
    problem("the chunks of " + block_text(a) + " and " + block_text(b) +
            " overlap, in the indices " + shared + ": expected each element on one bridge");
    return true;
  }

  // On the lines of a grid: whether each place of it has one block.
  bool is_full() {
    for (const auto& line : extents_) {
      // What is more than enough is as good as the number itself, which may be too large.
      places_ = std::min(places_ * line.size(), 2 * blocks_.size() + kMostNamed);
    }
    for (const Block& block : blocks_) there_.insert(place_of(block.start, extents_));
    return there_.size() == blocks_.size() && there_.size() == places_;
  }

  void refuse_holes() {
    if (places_ == there_.size()) return;
    std::string missing;
    size_t named = 0;
    std::vector<int64_t> place(extents_.size(), 0), start(extents_.size(), 0);
    for (size_t index = 0; index < places_ && named < kMostNamed; ++index) {
      if (there_.count(place) == 0) missing += (named++ > 0 ? ", " : "") + shape_text(start);
      for (size_t d = extents_.size(); d-- > 0;) {
        start[d] += extents_[d][static_cast<size_t>(place[d])];
        if (++place[d] < static_cast<int64_t>(extents_[d].size())) break;
        place[d] = start[d] = 0;
      }
    }
    problem("no bridge has a chunk with start " + missing +
            (places_ - there_.size() > named ? " and others" : "") +
            ": expected one for each place of the grid " + shape_text(shape_of_grid(extents_)) +
            ", got " + std::to_string(there_.size()));
  }

  const std::string& array_;
  const std::vector<Block>& blocks_;
  const std::vector<int64_t>& global_shape_;
  Problems& problems_;
  std::vector<std::vector<int64_t>> extents_;
  size_t places_ = 1;                     // of the grid
  std::set<std::vector<int64_t>> there_;  // those that have a block
  std::string crossing_;  // the first two ranges that are neither the same nor apart
};

}  // namespace

std::optional<std::vector<std::vector<int64_t>>> grid_of(const std::string& array,
                                                         const std::vector<Block>& blocks,
                                                         const std::vector<int64_t>& global_shape,
                                                         Problems& problems) {
  return Derivation(array, blocks, global_shape, problems).derive();
}

std::vector<int64_t> shape_of_grid(const std::vector<std::vector<int64_t>>& extents) {
  std::vector<int64_t> shape;
  for (const auto& line : extents) shape.push_back(static_cast<int64_t>(line.size()));
  return shape;
}

std::vector<int64_t> place_of(const std::vector<int64_t>& start,
                              const std::vector<std::vector<int64_t>>& extents) {
  std::vector<int64_t> place;
  for (size_t d = 0; d < start.size(); ++d) {
    int64_t at = 0, line = 0;
    while (at < start[d]) at += extents[d][static_cast<size_t>(line++)];
    place.push_back(line);
  }
  return place;
}

}  // namespace deisa
