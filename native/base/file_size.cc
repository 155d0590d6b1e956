#include "base/file_size.hpp"

#include <sys/resource.h>

#include "base/error.hpp"

namespace deisa {
namespace {

// The limit, or RLIM_INFINITY.
rlim_t limit() noexcept {
  rlimit now = {};
  return ::getrlimit(RLIMIT_FSIZE, &now) == 0 ? now.rlim_cur : RLIM_INFINITY;
}

}  // namespace

bool may_have_size(uint64_t bytes) noexcept {
  const rlim_t most = limit();
  return most == RLIM_INFINITY || bytes <= most;
}

void require_size(uint64_t bytes, const std::string& what) {
  if (may_have_size(bytes)) return;
  throw Error(DEISA_ERROR_RESOURCE,
              what + " needs " + std::to_string(bytes) +
                  " bytes, and a file of this process may have " + std::to_string(limit()) +
                  ": expected a higher limit. Raise it where the simulation is started: ulimit -f "
                  "unlimited");
}

}  // namespace deisa
