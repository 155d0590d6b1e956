// Opens the socket on which the rendezvous store listens.
#pragma once

#include <string>

#include "base/file_descriptor.hpp"

namespace deisa {

// With a `master_address` that means this machine only ("localhost", 127.0.0.1, ::1) a loopback
// address, else every address, whatever the name resolves to here (Debian maps a machine's own name
// to 127.0.1.1). Port 0: any free one. Throws Error(DEISA_ERROR_COMMUNICATOR) with the port.
FileDescriptor listen_for_ranks(const std::string& master_address, int port);

// Lets this process open `needed` more files. Throws Error(DEISA_ERROR_RESOURCE), which says that
// they are `what`, when the system's hard limit is below.
void allow_files(size_t needed, const std::string& what);

}  // namespace deisa
