// A short text in the place of a long one: equal for equal texts, and practically only for those.
#pragma once

#include <string>

namespace deisa {

// 32 hexadecimal digits, the same in every process and build. No protection against who looks for
// two texts with one digest.
std::string name_digest(const std::string& text);

}  // namespace deisa
