// What a misspelt word was meant to be.
#pragma once

#include <string>
#include <vector>

namespace deisa {

// The one of `words` that `word` was probably meant to be; "" if none is near.
std::string nearest(const std::string& word, const std::vector<std::string>& words);

}  // namespace deisa
