#include "base/shortage.hpp"

#include <sys/resource.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "base/signals.hpp"

namespace deisa {
namespace {

constexpr const char* kNoMemory =
    "out of memory: expected more memory for this process. Raise the limits where the simulation "
    "is started (ulimit -v, ulimit -d, or those of the job or container), or use less: smaller "
    "chunks, or a smaller max_in_flight (DEISA_MAX_IN_FLIGHT)";

std::string limit_text(int resource) {
  rlimit limit = {};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) return "unknown";
  return limit.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_cur);
}

std::string memory_advice() {
  return "the limit of the address space (ulimit -v, now " + limit_text(RLIMIT_AS) +
         " bytes), or that of the job or container";
}

}  // namespace

bool is_shortage(int number) noexcept {
  return number == EMFILE || number == ENFILE || number == ENOMEM || number == ENOBUFS;
}

std::string system_text(int number) {
  const std::string text = std::generic_category().message(number);
  switch (number) {
    case EMFILE:
      return text + ": this process may have " + limit_text(RLIMIT_NOFILE) +
             "; raise the limit where the simulation is started (ulimit -n)";
    case ENFILE:
      return text + ": raise the limit of this machine (fs.file-max)";
    case ENOMEM:
      return text + ": raise " + memory_advice();
    default:
      return text;
  }
}

std::thread start_thread(const char* what, std::function<void()> run) {
  const AllSignalsBlocked blocked;
  try {
    return std::thread(std::move(run));
  } catch (const std::system_error& error) {
    throw Error(DEISA_ERROR_RESOURCE, std::string("no thread can be started for ") + what + " (" +
                                          error.code().message() +
                                          "): raise the limit of processes and threads (ulimit -u, "
                                          "now " +
                                          limit_text(RLIMIT_NPROC) + ", or the container's), or " +
                                          memory_advice());
  }
}

Error as_error(const std::exception& exception) {
  if (const auto* error = dynamic_cast<const Error*>(&exception)) return *error;
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr) {
    return Error(DEISA_ERROR_RESOURCE, kNoMemory);
  }
  return Error(DEISA_ERROR_INTERNAL, std::string("unexpected: ") + exception.what());
}

deisa_status write_exception(const std::exception& exception, int rank, deisa_error* to) noexcept {
  try {
    Error error = as_error(exception);
    if (error.rank() < 0) error.at_rank(rank);
    return write_error(error, to);
  } catch (const std::bad_alloc&) {
    if (to != nullptr) {
      *to = deisa_error{};
      to->status = DEISA_ERROR_RESOURCE;
      to->rank = rank;
      to->timestep = DEISA_NO_TIMESTEP;
      std::strncpy(to->message, kNoMemory, sizeof(to->message) - 1);
    }
    return DEISA_ERROR_RESOURCE;
  }
}

}  // namespace deisa
