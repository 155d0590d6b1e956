// The description of arrays: what a caller may say, and every rule that it must keep.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/problems.hpp"
#include "chunk/aggregate.hpp"
#include "chunk/layout.hpp"

namespace deisa {

// The array that ends the analytics; bridge 0 defines it by itself.
inline constexpr const char* kEndMarkerArray = "__deisa_last_iteration_array";

// One rank's chunk of one array, valid by construction.
struct ArrayMetadata {
  std::string name;
  Layout layout;  // of the chunk in the simulation's memory
  std::vector<int64_t>
      grid;  // grid and position are empty until the bridges agree if `start` is given
  std::vector<int64_t> position;
  std::optional<std::vector<int64_t>> global_shape;  // if the caller gave it
  std::optional<std::vector<int64_t>> start;         // of the chunk in the whole array, likewise
  int64_t chunks_of_node = -1;                       // -1: agreed by the bridges
  size_t bytes = 0;                                  // of the chunk
  std::optional<Aggregate> aggregate = {};           // if the caller said it

  // False: the first chunk brings the dtype; until then `bytes` is what the largest one needs.
  bool has_dtype() const noexcept { return layout.dtype != kNoDtype; }
  void set_dtype(deisa_dtype dtype);
};

// The JSON text of arrays_metadata. A key that is there twice, of which a parser keeps one, is a
// problem. Throws Error(DEISA_ERROR_ARGUMENT) if it is not JSON.
nlohmann::json parse_arrays(const std::string& text, Problems& problems);

// Checks name and metadata (a JSON object with the keys that deisa_define_json names). Every
// problem is added with array, key, value and what was expected; then the result is empty.
std::optional<ArrayMetadata> parse_metadata(const std::string& name, const nlohmann::json& metadata,
                                            Problems& problems);

// The size of a deisa_layout of 0.2.0, which has no `start`.
inline constexpr size_t kLeastLayout = offsetof(deisa_layout, start);

// Where the JSON object of a deisa_layout whose lists cannot be read says its number of dimensions:
// in an object in the place of chunk_shape.
inline constexpr const char* kDimensions = "ndim";

// A deisa_layout as the JSON object that parse_metadata() checks. NULL pointers become missing
// keys.
nlohmann::json metadata_from_layout(const deisa_layout& layout);

// The array that bridge 0 adds.
ArrayMetadata end_marker_metadata();

}  // namespace deisa
