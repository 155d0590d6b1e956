// Arrow's extension types, as an ArrowSchema's metadata carries them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "deisa/deisa.h"

namespace deisa {

inline constexpr char kTensorExtension[] = "arrow.fixed_shape_tensor";
inline constexpr char kBool8Extension[] = "arrow.bool8";

struct ArrowExtension {
  std::string name;      // "" for a plain type
  std::string metadata;  // its parameters
};

// The extension type in `metadata` (may be NULL), which is a count of pairs and then length and
// bytes of each key and value, as int32 of this machine. Throws Error(DEISA_ERROR_CONTRACT) on a
// negative count or length.
ArrowExtension read_arrow_extension(const char* metadata);

// The bytes of a metadata member that names `extension`.
std::string write_arrow_extension(const ArrowExtension& extension);

// The parameters of arrow.fixed_shape_tensor.
struct TensorParameters {
  std::vector<int64_t> shape;        // of the memory, row-major
  std::vector<int64_t> permutation;  // logical dimension i is dimension permutation[i] of shape
};

// Reads {"shape": [...], "permutation": [...]}; other keys are ignored, and the permutation is the
// identity when there is none. Throws Error(DEISA_ERROR_CONTRACT) unless there are 1 to
// DEISA_MAX_DIMENSIONS positive extents and the permutation is one of them.
TensorParameters read_tensor_parameters(const std::string& json);
// An identity is left out.
std::string write_tensor_parameters(const TensorParameters& parameters);

}  // namespace deisa
