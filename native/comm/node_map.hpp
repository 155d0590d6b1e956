// Which rank is on which node.
#pragma once

#include <string>
#include <vector>

namespace deisa {

struct NodeMap {
  std::vector<int> node_of;             // by rank
  std::vector<std::vector<int>> ranks;  // by node: its ranks, ascending; [0] is its leader

  // Nodes in the order of their lowest ranks. `keys` has one key of a node per rank.
  static NodeMap from_keys(const std::vector<std::string>& keys);
  // The same, with a number below `nodes` in the place of a key.
  static NodeMap from_numbers(const std::vector<int>& numbers, int nodes);
  // As text, and back. Every rank reads it, so it must not grow with the ranks: consecutive ranks
  // on one node, or going round the nodes, are one run. Throws Error when `text` is not of `size`
  // ranks.
  std::string to_text() const;
  static NodeMap from_text(const std::string& text, int size);
  std::vector<int> leaders() const;
  size_t most_ranks() const;     // on one node
  int index_of(int rank) const;  // among the ranks of its node
};

}  // namespace deisa
