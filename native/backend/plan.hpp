// What the bridges tell each other before the first send, and what rank 0 makes of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/boxes.hpp"
#include "chunk/filters.hpp"
#include "chunk/metadata.hpp"

namespace deisa {

// What one rank gives to the gather.
struct Attendance {
  std::string node;  // key of the node: equal on ranks of the same node
  std::vector<ArrayMetadata> arrays;
  double ready_timeout = 0;                       // seconds
  std::map<std::string, std::string> alike = {};  // options that must be the same on every rank
};

struct Plan {
  struct Array {
    std::vector<int64_t> global_shape;
    std::vector<int64_t> chunks_of_node;  // by node
    // By dimension and position in the grid: extents of the chunks on this grid line.
    std::vector<std::vector<int64_t>> extents;
    std::string dtype;  // as some rank has defined it; "": the first chunk brings it
    BoxGrid boxes;      // of chunks that become one; empty: every chunk is its own
  };
  std::string session;       // random, names this simulation
  std::vector<int> node_of;  // by rank: index of its node
  std::vector<int> leader;   // by node: its lowest rank
  std::map<std::string, Array> arrays;
  // Each node has a chunk of each array: then order within the nodes is order everywhere.
  bool uniform = true;
  // Every rank sends chunks of the same arrays: then what one sends says how far it is in all.
  bool same_arrays = true;
  double ready_timeout = 0;  // the least of all ranks', so that they give up together

  std::vector<int> ranks_of_node(int node) const;
  // Whether any rank sends anything of this timestep, if it sends its arrays as the filters say.
  bool sends_at(int64_t timestep, const ArrayFilters& filters) const;
};

std::string encode(const Attendance& attendance);
std::string encode(const Plan& plan);
Plan decode_plan(const std::string& encoded);

// Gives an array whose chunk is defined by its start the grid and the position of the plan.
void take_place(ArrayMetadata& array, const Plan& plan);

// Checks that the bridges agree about each array: grid, dtype, extents along each grid line, global
// shape, each position once and only once (or starts that make a grid), chunks per node. `attendances` are encoded, in rank
// order. With `aggregate`, it plans the boxes. `filters` must name arrays that some bridge defines. Arrays
// that are never sent do not count for `uniform` and `same_arrays`. Throws
// Error(DEISA_ERROR_CONTRACT) with every disagreement.
Plan make_plan(const std::vector<std::string>& attendances, const std::string& session,
               const ArrayFilters& filters = {});

// Equal on processes that share memory, boot and network: boot id, network namespace and, if
// given, the node_id option.
std::string node_key(const std::string& node_id);

// 16 random bytes, as hexadecimal digits.
std::string random_session();

}  // namespace deisa
