// The format of NumPy's .npy files, version 1.0, C order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "deisa/deisa.h"

namespace deisa {

// What stands before the elements; its length is a multiple of 64.
std::string npy_header(deisa_dtype dtype, const std::vector<int64_t>& shape);

}  // namespace deisa
