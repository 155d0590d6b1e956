// Feedback values as they travel (MessagePack) and as numbers of C.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hpp"

namespace deisa {

// The number that `packed` holds: a bool, an integer or a float (also as a NumPy array of one
// element). Throws Error(DEISA_ERROR_ARGUMENT) for any other value, and when it does not fit
// exactly.
double unpack_double(const std::string& key, const std::string& packed);
int64_t unpack_int64(const std::string& key, const std::string& packed);

}  // namespace deisa
