// Opens the socket on which the rendezvous store listens.
#pragma once

#include <string>
#include <vector>

#include "base/file_descriptor.hpp"

namespace deisa {

// Sockets at which the ranks reach rank 0. With a `master_address` that means this machine only
// (127.0.0.1, ::1, "localhost") its loopback addresses, all that the name may be for another rank;
// else every address, whatever the name resolves to here (Debian maps a machine's own name to
// 127.0.1.1). `type` is SOCK_STREAM, and then they listen, or SOCK_DGRAM. Port 0: any free one, the
// same for all. Throws Error(DEISA_ERROR_COMMUNICATOR) that names the port, and who has it.
std::vector<FileDescriptor> bind_for_ranks(const std::string& master_address, int port, int type);

// Lets this process open `needed` more files. Throws Error(DEISA_ERROR_RESOURCE), which says that
// they are `what`, when the system's hard limit is below.
void allow_files(size_t needed, const std::string& what);

}  // namespace deisa
