// All ranks do a piece of work, and then all succeed or all fail with the same error.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace deisa {

// Collective: one gather and one broadcast. Every rank runs `work`; when each has succeeded, rank 0
// runs `combine` on the results, in rank order, and every rank gets what it returns. The first
// failure, by rank, is thrown on every rank. An Error of the communicator is thrown as it is.
std::string agree(Communicator& communicator, const Deadline& deadline,
                  const std::function<std::string()>& work,
                  const std::function<std::string(const std::vector<std::string>&)>& combine);

// As above, for work that has no result.
void agree(Communicator& communicator, const Deadline& deadline, const std::function<void()>& work);

}  // namespace deisa
