#include "chunk/metadata.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/json_text.hpp"
#include "base/nearest.hpp"

namespace deisa {
namespace {

using nlohmann::json;

constexpr size_t kMaxNameBytes = 255;
constexpr int64_t kMaxGrid = INT64_C(1) << 40;   // chunks of one array
constexpr int64_t kMaxBytes = INT64_C(1) << 46;  // of one chunk

constexpr const char* kShapeRule =
    "positive integers; a rank that has no cells of an array does not define it";
constexpr const char* kPositionRule =
    "integers, 0 <= position < nb_chunks_per_dim; positions count from 0";
constexpr const char* kStartRule = "integers, 0 <= start; elements count from 0";

constexpr std::array<const char*, 13> kKeys = {
    "chunk_shape", "nb_chunks_per_dim", "global_shape", "nb_chunks_of_node",
    "dtype",       "chunk_position",    "start",        "strides",
    "offset",      "halo_before",       "halo_after",   "order",
    "aggregate"};

bool is_utf8(const std::string& text) {
  // dump() with the strict handler refuses anything that is not UTF-8.
  try {
    (void)json(text).dump();
    return true;
  } catch (const json::exception&) {
    return false;
  }
}

// Checks one array's metadata key by key.
class Checker {
 public:
  Checker(const std::string& name, const json& metadata, Problems& problems)
      : name_(name), metadata_(metadata), problems_(problems) {}

  std::optional<ArrayMetadata> check() {
    const size_t before = problems_.size();
    check_name();
    if (!metadata_.is_object()) {
      problem("metadata", metadata_,
              "an object with the keys chunk_shape, nb_chunks_per_dim, "
              "nb_chunks_of_node, dtype and chunk_position");
      return std::nullopt;
    }
    check_keys();
    result_.name = name_;
    if (given("chunk_shape") && at("chunk_shape").is_object() &&
        at("chunk_shape").contains(kDimensions)) {
      // Of a deisa_layout whose lists cannot be read.
      problem(kDimensions, at("chunk_shape").at(kDimensions), "1 ... 32 dimensions");
      check_dtype();
      return std::nullopt;
    }
    const auto shape = integers("chunk_shape", true, 1, kShapeRule);
    if (shape && (shape->empty() || shape->size() > DEISA_MAX_DIMENSIONS)) {
      problem("chunk_shape", at("chunk_shape"), "1 ... 32 dimensions");
    }
    const auto dtype = check_dtype();
    if (shape && dtype) check_size(*shape, *dtype);
    if (given("start")) {
      check_start(shape);
      check_chunks_of_node(std::nullopt);
    } else {
      const auto grid = check_grid(shape);
      check_position(shape, grid);
      check_chunks_of_node(grid);
    }
    check_memory(shape, dtype);
    check_aggregate();
    if (problems_.size() != before) return std::nullopt;
    return std::move(result_);
  }

 private:
  void problem(const char* key, const json& value, const std::string& expected) {
    problems_.add("array '" + name_ + "': " + key + " = " + shown(value) + ": expected " +
                  expected);
  }
  void missing(const char* key, const std::string& expected) {
    problems_.add("array '" + name_ + "': " + key + " is missing: expected " + expected);
  }
  bool given(const char* key) const {
    const auto it = metadata_.find(key);
    return it != metadata_.end() && !it->is_null();
  }
  const json& at(const char* key) const { return metadata_.at(key); }

  void check_name() {
    const std::string rule = "1 ... 255 bytes of UTF-8 without NUL";
    if (name_.empty()) {
      problems_.add("array '': the name is empty: expected " + rule);
    } else if (name_.size() > kMaxNameBytes) {
      problems_.add("array '" + name_.substr(0, 40) + "...': the name has " +
                    std::to_string(name_.size()) + " bytes: expected " + rule);
    } else if (name_.find('\0') != std::string::npos) {
      problems_.add("array '" + std::string(name_.c_str()) +
                    "...': the name contains NUL: expected " + rule);
    } else if (!is_utf8(name_)) {
      problems_.add("array (" + std::to_string(name_.size()) +
                    " bytes): the name is not UTF-8: expected " + rule);
    } else if (name_.rfind("__deisa_", 0) == 0) {
      problems_.add("array '" + name_ +
                    "': the name starts with __deisa_: expected another name, the prefix is "
                    "reserved");
    }
  }

  void check_keys() {
    for (const auto& [key, value] : metadata_.items()) {
      if (std::find(kKeys.begin(), kKeys.end(), key) == kKeys.end()) {
        const std::string near = nearest(key, {kKeys.begin(), kKeys.end()});
        problem(key.c_str(), value,
                (near.empty() ? "" : near + "? There is ") +
                    "no such key; the keys are chunk_shape, nb_chunks_per_dim (or global_shape), "
                    "nb_chunks_of_node, dtype, chunk_position (or start), strides, offset, "
                    "halo_before, halo_after, order and aggregate");
      }
    }
  }

  // The list of integers under `key`, each at least `least`; empty after a problem.
  std::optional<std::vector<int64_t>> integers(const char* key, bool required, int64_t least,
                                               const char* expected) {
    if (!given(key)) {
      if (required) missing(key, std::string("a list of ") + expected);
      return std::nullopt;
    }
    const json& list = at(key);
    std::vector<int64_t> values;
    bool good = list.is_array();
    if (good) {
      for (const json& item : list) {
        if (!item.is_number_integer() ||
            (item.is_number_unsigned() && item.get<uint64_t>() > INT64_MAX) ||
            item.get<int64_t>() < least) {
          good = false;
          break;
        }
        values.push_back(item.get<int64_t>());
      }
    }
    if (good) return values;
    problem(key, list, std::string("a list of ") + expected);
    return std::nullopt;
  }

  std::optional<deisa_dtype> check_dtype() {
    const std::string expected = std::string("one of ") + dtype_names();
    if (metadata_.contains("dtype") && at("dtype").is_null()) {
      return result_.layout.dtype = kNoDtype;
    }
    if (!given("dtype")) {
      missing("dtype", expected);
      return std::nullopt;
    }
    const json& value = at("dtype");
    if (value.is_string()) {
      if (const auto dtype = dtype_from_name(value.get_ref<const std::string&>())) {
        result_.layout.dtype = *dtype;
        return dtype;
      }
    }
    problem("dtype", value, expected);
    return std::nullopt;
  }

  void check_size(const std::vector<int64_t>& shape, deisa_dtype dtype) {
    int64_t bytes = static_cast<int64_t>(dtype == kNoDtype ? kLargestElement : dtype_size(dtype));
    for (const int64_t extent : shape) {
      if (extent > kMaxBytes / bytes) {
        problem("chunk_shape", at("chunk_shape"), "a chunk of at most 2^46 bytes");
        return;
      }
      bytes *= extent;
    }
    result_.bytes = static_cast<size_t>(bytes);
  }

  bool same_length(const char* key, size_t length, const std::vector<int64_t>& shape) {
    if (length == shape.size()) return true;
    problem(key, at(key),
            "as many entries as chunk_shape has (" + std::to_string(shape.size()) + ")");
    return false;
  }

  std::optional<std::vector<int64_t>> check_grid(const std::optional<std::vector<int64_t>>& shape) {
    if (!given("nb_chunks_per_dim") && !given("global_shape")) {
      missing("nb_chunks_per_dim", "a list of positive integers, or global_shape instead of it");
      return std::nullopt;
    }
    auto grid = integers("nb_chunks_per_dim", false, 1, "positive integers");
    auto global = integers("global_shape", false, 1, "positive integers");
    bool good = true;
    if (shape && global) good = same_length("global_shape", global->size(), *shape);
    if (shape && grid) good = same_length("nb_chunks_per_dim", grid->size(), *shape) && good;
    if (!good) return std::nullopt;
    if (!shape) {
      global.reset();  // what follows from it does not matter
    } else if (global && !given("nb_chunks_per_dim")) {
      grid.emplace();
      for (size_t d = 0; d < shape->size(); ++d) {
        if ((*global)[d] % (*shape)[d] != 0) {
          problem("global_shape", at("global_shape"),
                  "a multiple of chunk_shape " + shape_text(*shape) +
                      " in each dimension, or nb_chunks_per_dim for uneven chunks");
          return std::nullopt;
        }
        grid->push_back((*global)[d] / (*shape)[d]);
      }
    } else if (global && grid) {
      // Extents may differ along a grid line: the rest is checked when the metadata of all ranks is gathered.
      for (size_t d = 0; d < shape->size(); ++d) {
        if ((*global)[d] - (*shape)[d] < (*grid)[d] - 1) {
          problem("global_shape", at("global_shape"),
                  "room for nb_chunks_per_dim " + shape_text(*grid) +
                      " chunks beside this one of " + shape_text(*shape));
          return std::nullopt;
        }
      }
    }
    if (!grid) return std::nullopt;
    int64_t chunks = 1;
    for (const int64_t n : *grid) {
      if (n > kMaxGrid / chunks) {
        problem("nb_chunks_per_dim", json(*grid), "at most 2^40 chunks in all");
        return std::nullopt;
      }
      chunks *= n;
    }
    result_.grid = *grid;
    result_.global_shape = std::move(global);
    return grid;
  }

  // The chunk by its first element in the whole array: the bridges derive grid and position.
  void check_start(const std::optional<std::vector<int64_t>>& shape) {
    for (const char* key : {"chunk_position", "nb_chunks_per_dim"}) {
      if (given(key)) problem(key, at(key), "none beside start, which stands for it");
    }
    if (!given("global_shape")) {
      missing("global_shape", "a list of positive integers, beside start");
    }
    auto start = integers("start", true, 0, kStartRule);
    auto global = integers("global_shape", false, 1, "positive integers");
    if (!shape) return;
    if (start && !same_length("start", start->size(), *shape)) start.reset();
    if (global && !same_length("global_shape", global->size(), *shape)) global.reset();
    if (!start || !global) return;
    for (size_t d = 0; d < shape->size(); ++d) {
      if ((*start)[d] > (*global)[d] - (*shape)[d]) {
        problem("start", at("start"),
                "a chunk of " + shape_text(*shape) + " that ends within global_shape " +
                    shape_text(*global));
        return;
      }
    }
    result_.start = std::move(start);
    result_.global_shape = std::move(global);
  }

  void check_position(const std::optional<std::vector<int64_t>>& shape,
                      const std::optional<std::vector<int64_t>>& grid) {
    if (!given("chunk_position")) {
      missing("chunk_position", std::string("a list of ") + kPositionRule +
                                    "; or start and global_shape instead of it");
      return;
    }
    auto position = integers("chunk_position", true, 0, kPositionRule);
    if (!position) return;
    if (shape && !same_length("chunk_position", position->size(), *shape)) return;
    if (grid && grid->size() == position->size()) {
      for (size_t d = 0; d < grid->size(); ++d) {
        if ((*position)[d] >= (*grid)[d]) {
          problem("chunk_position", at("chunk_position"),
                  "0 <= position < nb_chunks_per_dim " + shape_text(*grid) +
                      "; positions count from 0");
          return;
        }
      }
    }
    result_.position = std::move(*position);
  }

  void check_chunks_of_node(const std::optional<std::vector<int64_t>>& grid) {
    if (!given("nb_chunks_of_node")) return;
    const json& value = at("nb_chunks_of_node");
    int64_t chunks = 1;
    if (grid) {
      for (const int64_t n : *grid) chunks *= n;
    }
    const bool integer = value.is_number_integer() &&
                         !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX);
    if (!integer || value.get<int64_t>() < 1 || (grid && value.get<int64_t>() > chunks)) {
      problem("nb_chunks_of_node", value,
              "a positive integer" +
                  (grid ? ", at most the size of the grid (" + std::to_string(chunks) + ")" : ""));
      return;
    }
    result_.chunks_of_node = value.get<int64_t>();
  }

  // How the chunk lies in the memory that is sent: strides, or a block with ghost cells.
  void check_memory(const std::optional<std::vector<int64_t>>& shape,
                    const std::optional<deisa_dtype>& dtype) {
    auto strides = integers("strides", false, INT64_MIN, "integers, in bytes");
    const auto before = halo("halo_before", shape);
    const auto after = halo("halo_after", shape);
    const auto order = check_order();
    const auto offset = check_offset();
    if (given("strides")) {
      const std::string expected = "none beside strides, which say all";
      if (given("halo_before")) problem("halo_before", at("halo_before"), expected);
      if (given("halo_after")) problem("halo_after", at("halo_after"), expected);
      if (order == DEISA_ORDER_FORTRAN) problem("order", at("order"), expected);
    }
    if (strides && shape && !same_length("strides", strides->size(), *shape)) return;
    if (!shape || !dtype || !before || !after || !order || !offset || result_.bytes == 0) return;
    if (*dtype == kNoDtype) {
      for (const char* key : {"strides", "halo_before", "halo_after", "order", "offset"}) {
        if (given(key)) problem(key, at(key), "none without a dtype");
      }
      result_.layout.shape = *shape;
      return;
    }
    if (strides) {
      result_.layout.shape = *shape;
      result_.layout.strides = std::move(*strides);
    } else if (!given("strides")) {
      int64_t bytes = static_cast<int64_t>(dtype_size(*dtype));
      for (size_t d = 0; d < shape->size(); ++d) {
        const int64_t ghosts =
            (before->empty() ? 0 : (*before)[d]) + (after->empty() ? 0 : (*after)[d]);
        if ((*shape)[d] + ghosts > kMaxBytes / bytes) {
          const char* key = before->empty() ? "halo_after" : "halo_before";
          problem(key, at(key), "a block with ghost cells of at most 2^46 bytes");
          return;
        }
        bytes *= (*shape)[d] + ghosts;
      }
      result_.layout = Layout::inside(*dtype, *shape, *before, *after, *order);
    }
    result_.layout.offset += *offset;
  }

  // Ghost cells per dimension; an empty list if none are given, nothing after a problem.
  std::optional<std::vector<int64_t>> halo(const char* key,
                                           const std::optional<std::vector<int64_t>>& shape) {
    if (!given(key)) return std::vector<int64_t>();
    auto cells = integers(key, false, 0, "integers, at least 0");
    if (!cells || !shape || !same_length(key, cells->size(), *shape)) return std::nullopt;
    for (const int64_t n : *cells) {
      if (n > kMaxBytes) {
        problem(key, at(key), "a block with ghost cells of at most 2^46 bytes");
        return std::nullopt;
      }
    }
    return cells;
  }

  std::optional<deisa_order> check_order() {
    if (!given("order")) return DEISA_ORDER_C;
    const json& value = at("order");
    if (value == "C") return DEISA_ORDER_C;
    if (value == "F") return DEISA_ORDER_FORTRAN;
    problem("order", value, "\"C\" (last dimension fastest) or \"F\" (first dimension fastest)");
    return std::nullopt;
  }

  void check_aggregate() {
    if (!given("aggregate")) return;
    const json& value = at("aggregate");
    if (value.is_string()) result_.aggregate = aggregate_from_word(value.get<std::string>());
    if (!result_.aggregate) problem("aggregate", value, kAggregateRule);
  }

  std::optional<int64_t> check_offset() {
    if (!given("offset")) return 0;
    const json& value = at("offset");
    if (value.is_number_integer() &&
        !(value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX)) {
      const auto offset = value.get<int64_t>();
      if (offset >= -kMaxBytes && offset <= kMaxBytes) return offset;
    }
    problem("offset", value, "an integer, in bytes, at most 2^46");
    return std::nullopt;
  }

  const std::string& name_;
  const json& metadata_;
  Problems& problems_;
  ArrayMetadata result_;
};

}  // namespace

json parse_arrays(const std::string& text, Problems& problems) {
  try {
    return parse_json(text, [&](const std::string& key, size_t depth) {
      problems.add((depth == 1 ? "array " : "key ") + shown(key) +
                   " is there twice: expected each once");
    });
  } catch (const json::exception& error) {
    throw Error(DEISA_ERROR_ARGUMENT, std::string("arrays_metadata is not JSON: ") + error.what());
  } catch (const Error& error) {
    throw Error(DEISA_ERROR_ARGUMENT, std::string("arrays_metadata: ") + error.what());
  }
}

std::optional<ArrayMetadata> parse_metadata(const std::string& name, const json& metadata,
                                            Problems& problems) {
  return Checker(name, metadata, problems).check();
}

void ArrayMetadata::set_dtype(deisa_dtype dtype) {
  layout = Layout::contiguous(dtype, layout.shape);
  bytes = layout.bytes();
}

}  // namespace deisa
