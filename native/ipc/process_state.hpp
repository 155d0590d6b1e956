// What the kernel says about another process of this machine.
#pragma once

#include <sys/types.h>

#include <string>

namespace deisa {

// The process at the other end of a connected Unix socket; 0 if it is not visible here, as in a
// container.
pid_t peer_process(int socket) noexcept;

// Why the process cannot do anything now, and what to do: "(process 7) is stopped ...". "" if it
// can, or if that is not known. Never throws but for memory.
std::string why_idle(pid_t process);

}  // namespace deisa
