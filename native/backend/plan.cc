#include "backend/plan.hpp"

#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "backend/start_grid.hpp"

namespace deisa {
namespace {

using nlohmann::json;

constexpr int kVersion = 3;  // of an Attendance as it travels

// One rank's chunk, as it travels.
struct Chunk {
  int rank;
  int node;
  std::vector<int64_t> shape, grid, position;
  std::string dtype;
  std::vector<int64_t> global_shape;  // empty: not given
  std::vector<int64_t> start;         // empty: not given; else grid and position come from it
  int64_t chunks_of_node;
  std::string aggregate;
};

std::string rank_text(int rank) { return "rank " + std::to_string(rank); }

// Compares the chunks of one array; the first rank's word is what the others are held against.
class Comparison {
 public:
  Comparison(const std::string& name, std::vector<Chunk>& chunks, const std::vector<int>& leaders,
             Problems& problems)
      : name_(name), chunks_(chunks), leaders_(leaders), problems_(problems) {
    result_.chunks_of_node.assign(leaders.size(), 0);
  }

  Plan::Array compare() {
    for (const Chunk& chunk : chunks_) {
      ++result_.chunks_of_node[static_cast<size_t>(chunk.node)];
    }
    if (!same_kind() || !place_by_start()) return result_;
    const bool placed = each_position_once();
    const bool aligned = same_extents();
    if (placed && aligned) check_global_shape();
    check_chunks_of_node();
    if (placed && aligned) join_chunks();
    return result_;
  }

 private:
  void problem(const std::string& text) { problems_.add("array '" + name_ + "': " + text); }

  bool same_kind() {
    const Chunk& first = chunks_.front();
    const Chunk* typed = nullptr;  // the first that says its dtype
    bool same = true;
    for (const Chunk& chunk : chunks_) {
      if (chunk.start.empty() != first.start.empty()) {
        problem(std::string(chunk.start.empty() ? "chunk_position" : "start") + " on " +
                rank_text(chunk.rank) + ", but " +
                (first.start.empty() ? "chunk_position" : "start") + " on " +
                rank_text(first.rank) + ": expected the same key on every bridge");
        same = false;
      } else if (!chunk.start.empty() && chunk.global_shape != first.global_shape) {
        problem("global_shape = " + shape_text(chunk.global_shape) + " on " +
                rank_text(chunk.rank) + ", but " + shape_text(first.global_shape) + " on " +
                rank_text(first.rank) + ": expected the same shape on every bridge");
        same = false;
      } else if (chunk.grid != first.grid) {
        problem("nb_chunks_per_dim = " + shape_text(chunk.grid) + " on " + rank_text(chunk.rank) +
                ", but " + shape_text(first.grid) + " on " + rank_text(first.rank) +
                ": expected the same grid on every bridge");
        same = false;
      }
      if (chunk.aggregate != first.aggregate) {
        problem("aggregate = " + chunk.aggregate + " on " + rank_text(chunk.rank) + ", but " +
                first.aggregate + " on " + rank_text(first.rank) +
                ": expected the same on every bridge");
        same = false;
      }
      if (chunk.dtype.empty()) continue;
      if (typed == nullptr) typed = &chunk;
      if (chunk.dtype != typed->dtype) {
        problem("dtype = " + chunk.dtype + " on " + rank_text(chunk.rank) + ", but " +
                typed->dtype + " on " + rank_text(typed->rank) +
                ": expected the same dtype on every bridge");
        same = false;
      }
    }
    if (typed != nullptr) result_.dtype = typed->dtype;
    return same;
  }

  // Where the chunks are given by their start: the grid that they make, and their places in it.
  bool place_by_start() {
    if (chunks_.front().start.empty()) return true;
    std::vector<Block> blocks;
    for (const Chunk& chunk : chunks_) blocks.push_back({chunk.rank, chunk.start, chunk.shape});
    const auto extents = grid_of(name_, blocks, chunks_.front().global_shape, problems_);
    if (!extents) return false;
    for (Chunk& chunk : chunks_) {
      chunk.grid = shape_of_grid(*extents);
      chunk.position = place_of(chunk.start, *extents);
    }
    return true;
  }

  bool each_position_once() {
    std::map<std::vector<int64_t>, int> at;
    bool good = true;
    for (const Chunk& chunk : chunks_) {
      const auto [it, fresh] = at.emplace(chunk.position, chunk.rank);
      if (!fresh) {
        problem("chunk_position = " + shape_text(chunk.position) + " on " + rank_text(it->second) +
                " and on " + rank_text(chunk.rank) + ": expected each position once");
        good = false;
      }
    }
    const std::vector<int64_t>& grid = chunks_.front().grid;
    size_t all = 1;
    for (const int64_t n : grid) all *= static_cast<size_t>(n);
    if (at.size() == all) return good;
    std::string missing;
    size_t named = 0;
    std::vector<int64_t> position(grid.size(), 0);
    for (size_t index = 0; index < all && named < 8; ++index) {
      if (at.count(position) == 0) {
        missing += (named ? ", " : "") + shape_text(position);
        ++named;
      }
      for (size_t d = grid.size(); d-- > 0;) {
        if (++position[d] < grid[d]) break;
        position[d] = 0;
      }
    }
    problem("no bridge has chunk_position " + missing +
            (all - at.size() > named ? " and " + std::to_string(all - at.size() - named) + " more"
                                     : "") +
            ": expected " + std::to_string(all) + " chunks for the grid " + shape_text(grid) +
            ", got " + std::to_string(at.size()));
    return false;
  }

  bool same_extents() {
    const std::vector<int64_t>& grid = chunks_.front().grid;
    bool good = true;
    result_.global_shape.assign(grid.size(), 0);
    result_.extents.assign(grid.size(), {});
    for (size_t d = 0; d < grid.size(); ++d) {
      std::map<int64_t, const Chunk*> line;  // by position in this dimension
      for (const Chunk& chunk : chunks_) {
        const auto [it, fresh] = line.emplace(chunk.position[d], &chunk);
        if (fresh) {
          result_.global_shape[d] += chunk.shape[d];
        } else if (it->second->shape[d] != chunk.shape[d]) {
          problem("chunk_shape[" + std::to_string(d) + "] = " + std::to_string(chunk.shape[d]) +
                  " on " + rank_text(chunk.rank) + ", but " + std::to_string(it->second->shape[d]) +
                  " on " + rank_text(it->second->rank) + ", on the same grid line " +
                  std::to_string(chunk.position[d]) + " of dimension " + std::to_string(d) +
                  ": expected the same extent");
          good = false;
        }
      }
      for (const auto& [position, chunk] : line) result_.extents[d].push_back(chunk->shape[d]);
    }
    return good;
  }

  void check_global_shape() {
    for (const Chunk& chunk : chunks_) {
      if (!chunk.global_shape.empty() && chunk.global_shape != result_.global_shape) {
        problem("global_shape = " + shape_text(chunk.global_shape) + " on " +
                rank_text(chunk.rank) + ": expected " + shape_text(result_.global_shape) +
                ", the sum of the chunks");
      }
    }
  }

  void check_chunks_of_node() {
    for (const Chunk& chunk : chunks_) {
      const int64_t counted = result_.chunks_of_node[static_cast<size_t>(chunk.node)];
      if (chunk.chunks_of_node != -1 && chunk.chunks_of_node != counted) {
        problem("nb_chunks_of_node = " + std::to_string(chunk.chunks_of_node) + " on " +
                rank_text(chunk.rank) + ": expected " + std::to_string(counted) +
                ", the chunks of the bridges on its node");
      }
    }
  }

  // With `aggregate`: which chunks become one.
  void join_chunks() {
    const Chunk& first = chunks_.front();
    const auto aggregate = aggregate_from_word(first.aggregate);
    if (!aggregate || *aggregate == Aggregate::kNone) return;
    std::vector<int> nodes(chunks_.size());
    for (const Chunk& chunk : chunks_) {
      size_t index = 0;
      for (size_t d = 0; d < first.grid.size(); ++d) {
        index = index * static_cast<size_t>(first.grid[d]) + static_cast<size_t>(chunk.position[d]);
      }
      nodes[index] = chunk.node;
    }
    BoxGrid boxes = largest_boxes(first.grid, nodes);
    if (*aggregate == Aggregate::kNode && !is_box_of_each_node(boxes)) return;
    if (boxes != single_boxes(first.grid)) result_.boxes = std::move(boxes);
  }

  bool is_box_of_each_node(const BoxGrid& boxes) {
    std::vector<std::set<std::vector<int64_t>>> of_node(leaders_.size());
    for (const Chunk& chunk : chunks_) {
      of_node[static_cast<size_t>(chunk.node)].insert(
          box_of(chunk.position, boxes, result_.extents).position);
    }
    for (size_t node = 0; node < of_node.size(); ++node) {
      if (of_node[node].size() < 2) continue;
      problem("aggregate = node: the " + std::to_string(result_.chunks_of_node[node]) +
              " chunks of the ranks on the node of " + rank_text(leaders_[node]) + " make " +
              std::to_string(of_node[node].size()) + " boxes in the grid " +
              shape_text(chunks_.front().grid) +
              ": expected one box of each node, and that the boxes of all nodes make a "
              "rectilinear grid. Place neighbours on the same node, or set aggregate = auto");
      return false;
    }
    return true;
  }

  const std::string& name_;
  std::vector<Chunk>& chunks_;
  const std::vector<int>& leaders_;  // by node: its lowest rank
  Problems& problems_;
  Plan::Array result_;
};

}  // namespace

std::vector<int> Plan::ranks_of_node(int node) const {
  std::vector<int> ranks;
  for (size_t rank = 0; rank < node_of.size(); ++rank) {
    if (node_of[rank] == node) ranks.push_back(static_cast<int>(rank));
  }
  return ranks;
}

bool Plan::sends_at(int64_t timestep, const ArrayFilters& filters) const {
  return std::any_of(arrays.begin(), arrays.end(), [&](const auto& array) {
    return array.first != kEndMarkerArray && filters.of(array.first).passes(timestep);
  });
}

std::string encode(const Attendance& attendance) {
  json arrays = json::array();
  for (const ArrayMetadata& array : attendance.arrays) {
    const char* dtype = array.has_dtype() ? dtype_name(array.layout.dtype) : "";
    arrays.push_back({array.name, dtype, array.layout.shape, array.grid, array.position,
                      array.global_shape.value_or(std::vector<int64_t>()), array.chunks_of_node,
                      array.start.value_or(std::vector<int64_t>()),
                      word_of(array.aggregate.value_or(Aggregate::kNone))});
  }
  std::string encoded;
  json::to_msgpack({{"version", kVersion},
                    {"node", attendance.node},
                    {"arrays", arrays},
                    {"ready_timeout", attendance.ready_timeout},
                    {"alike", attendance.alike}},
                   encoded);
  return encoded;
}

std::string encode(const Plan& plan) {
  json arrays = json::object();
  for (const auto& [name, array] : plan.arrays) {
    arrays[name] = {array.global_shape, array.chunks_of_node, array.extents, array.dtype,
                    array.boxes};
  }
  std::string encoded;
  json::to_msgpack({{"session", plan.session},
                    {"node_of", plan.node_of},
                    {"leader", plan.leader},
                    {"arrays", arrays},
                    {"uniform", plan.uniform},
                    {"same_arrays", plan.same_arrays},
                    {"ready_timeout", plan.ready_timeout}},
                   encoded);
  return encoded;
}

Plan decode_plan(const std::string& encoded) {
  const json from = json::from_msgpack(encoded);
  Plan plan;
  plan.session = from.at("session").get<std::string>();
  plan.node_of = from.at("node_of").get<std::vector<int>>();
  plan.leader = from.at("leader").get<std::vector<int>>();
  plan.uniform = from.at("uniform").get<bool>();
  plan.same_arrays = from.at("same_arrays").get<bool>();
  plan.ready_timeout = from.at("ready_timeout").get<double>();
  for (const auto& [name, array] : from.at("arrays").items()) {
    plan.arrays[name] = {array.at(0).get<std::vector<int64_t>>(),
                         array.at(1).get<std::vector<int64_t>>(),
                         array.at(2).get<std::vector<std::vector<int64_t>>>(),
                         array.at(3).get<std::string>(), array.at(4).get<BoxGrid>()};
  }
  return plan;
}

void take_place(ArrayMetadata& array, const Plan& plan) {
  if (!array.start) return;
  const auto& extents = plan.arrays.at(array.name).extents;
  array.grid = shape_of_grid(extents);
  array.position = place_of(*array.start, extents);
}

Plan make_plan(const std::vector<std::string>& attendances, const std::string& session,
               const ArrayFilters& filters) {
  Plan plan;
  plan.session = session;
  Problems problems;
  std::map<std::string, int> nodes;
  std::map<std::string, std::string> alike;  // as on rank 0
  std::map<std::string, std::vector<Chunk>> chunks;
  for (size_t r = 0; r < attendances.size(); ++r) {
    const int rank = static_cast<int>(r);
    const json from = json::from_msgpack(attendances[r]);
    if (from.at("version").get<int>() != kVersion) {
      problems.add(rank_text(rank) + " runs another version of this library: expected " +
                   DEISA_VERSION + " everywhere");
      continue;
    }
    const double ready_timeout = from.at("ready_timeout").get<double>();
    plan.ready_timeout = rank == 0 ? ready_timeout : std::min(plan.ready_timeout, ready_timeout);
    const auto options = from.at("alike").get<std::map<std::string, std::string>>();
    if (rank == 0) alike = options;
    for (const auto& [option, value] : options) {
      if (value == alike[option]) continue;
      problems.add("option " + option + " = " + value + " on " + rank_text(rank) + ", but " +
                   alike[option] + " on rank 0: expected the same on every rank");
    }
    const auto [it, fresh] =
        nodes.emplace(from.at("node").get<std::string>(), static_cast<int>(nodes.size()));
    if (fresh) plan.leader.push_back(rank);
    plan.node_of.push_back(it->second);
    for (const json& array : from.at("arrays")) {
      Chunk chunk;
      chunk.rank = rank;
      chunk.node = it->second;
      chunk.dtype = array.at(1).get<std::string>();
      chunk.shape = array.at(2).get<std::vector<int64_t>>();
      chunk.grid = array.at(3).get<std::vector<int64_t>>();
      chunk.position = array.at(4).get<std::vector<int64_t>>();
      chunk.global_shape = array.at(5).get<std::vector<int64_t>>();
      chunk.chunks_of_node = array.at(6).get<int64_t>();
      chunk.start = array.at(7).get<std::vector<int64_t>>();
      chunk.aggregate = array.at(8).get<std::string>();
      chunks[array.at(0).get<std::string>()].push_back(std::move(chunk));
    }
  }
  for (auto& [name, of_array] : chunks) {
    Plan::Array array = Comparison(name, of_array, plan.leader, problems).compare();
    if (name != kEndMarkerArray && filters.of(name).send) {
      for (const int64_t count : array.chunks_of_node) plan.uniform &= count > 0;
      plan.same_arrays &= of_array.size() == attendances.size();
    }
    plan.arrays[name] = std::move(array);
  }
  for (const std::string& name : filters.names()) {
    if (chunks.count(name) > 0) continue;
    std::string defined;
    for (const auto& [known, ignored] : chunks) {
      if (known != kEndMarkerArray) defined += (defined.empty() ? "'" : ", '") + known + "'";
    }
    problems.add(
        "the settings file has arrays." + name +
        ": expected arrays that a bridge defines: " + (defined.empty() ? "none is" : defined));
  }
  problems.raise(DEISA_ERROR_CONTRACT, "the bridges do not agree:");
  return plan;
}

std::string node_key(const std::string& node_id) {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  struct stat network{};
  ::stat("/proc/self/ns/net", &network);
  return boot + "/" + std::to_string(network.st_ino) + "/" + node_id;
}

std::string random_session() {
  unsigned char bytes[16] = {};
  if (::getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
    throw Error(DEISA_ERROR_INTERNAL, "getrandom gave too few bytes");
  }
  std::string text;
  for (const unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace deisa
