#include "comm/node_map.hpp"

#include <algorithm>
#include <locale>
#include <map>
#include <sstream>

#include "base/error.hpp"

namespace deisa {
namespace {

// The next rank is on `node`; nodes are numbered in the order in which they appear.
void add_rank(NodeMap& map, int node) {
  const int rank = static_cast<int>(map.node_of.size());
  if (static_cast<size_t>(node) == map.ranks.size()) map.ranks.emplace_back();
  map.node_of.push_back(node);
  map.ranks[static_cast<size_t>(node)].push_back(rank);
}

}  // namespace

NodeMap NodeMap::from_keys(const std::vector<std::string>& keys) {
  std::map<std::string, int> known;
  std::vector<int> numbers;
  for (const std::string& key : keys) {
    numbers.push_back(known.emplace(key, static_cast<int>(known.size())).first->second);
  }
  return from_numbers(numbers, static_cast<int>(known.size()));
}

NodeMap NodeMap::from_numbers(const std::vector<int>& numbers, int nodes) {
  NodeMap map;
  std::vector<int> node_of(static_cast<size_t>(nodes), -1);
  int known = 0;
  for (const int number : numbers) {
    int& node = node_of[static_cast<size_t>(number)];
    if (node < 0) node = known++;
    add_rank(map, node);
  }
  return map;
}

// Runs of "node step count": node, node + step, ... ; step is 0 or 1.
std::string NodeMap::to_text() const {
  std::string text;
  for (size_t begin = 0; begin < node_of.size();) {
    size_t end = begin + 1;
    const int step = end < node_of.size() && node_of[end] == node_of[begin] + 1 ? 1 : 0;
    while (end < node_of.size() && node_of[end] == node_of[end - 1] + step) ++end;
    text += std::to_string(node_of[begin]) + " " + std::to_string(step) + " " +
            std::to_string(end - begin) + "\n";
    begin = end;
  }
  return text;
}

NodeMap NodeMap::from_text(const std::string& text, int size) {
  NodeMap map;
  std::istringstream runs(text);
  runs.imbue(std::locale::classic());  // whatever the program has made the default
  int node = 0, step = 0, count = 0;
  bool good = true;
  while (good && !(runs >> std::ws).eof()) {
    const int room = size - static_cast<int>(map.node_of.size());
    good = runs >> node >> step >> count && (step == 0 || step == 1) && count >= 1 && count <= room;
    for (int i = 0; good && i < count; ++i, node += step) {
      good = node >= 0 && static_cast<size_t>(node) <= map.ranks.size();
      if (good) add_rank(map, node);
    }
  }
  if (!good || map.node_of.size() != static_cast<size_t>(size)) {
    throw Error(DEISA_ERROR_COMMUNICATOR, "the list of nodes is damaged: it is good for " +
                                              std::to_string(map.node_of.size()) +
                                              " ranks, expected " + std::to_string(size));
  }
  return map;
}

std::vector<int> NodeMap::leaders() const {
  std::vector<int> all;
  for (const auto& of_node : ranks) all.push_back(of_node.front());
  return all;
}

size_t NodeMap::most_ranks() const {
  size_t most = 0;
  for (const auto& of_node : ranks) most = std::max(most, of_node.size());
  return most;
}

int NodeMap::index_of(int rank) const {
  const auto& of_node = ranks[static_cast<size_t>(node_of[static_cast<size_t>(rank)])];
  return static_cast<int>(std::lower_bound(of_node.begin(), of_node.end(), rank) - of_node.begin());
}

}  // namespace deisa
