// How deep MessagePack from outside may be.
#pragma once

#include <cstddef>
#include <string_view>

namespace deisa {

// Whether the first value in `packed` has lists and maps at most `most` deep. A parser that calls itself for each level
// runs out of stack otherwise. What is no MessagePack, or ends early, is for the parser to say.
bool is_at_most_deep(std::string_view packed, size_t most);

}  // namespace deisa
