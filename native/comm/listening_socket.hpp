// Opens the socket on which the rendezvous store listens.
#pragma once

#include <string>

#include "base/file_descriptor.hpp"

namespace deisa {

// With a `master_address` that means this machine only ("localhost", 127.0.0.1, ::1) a loopback
// address, else every address, whatever the name resolves to here (Debian maps a machine's own name
// to 127.0.1.1). Port 0: any free one. Throws Error(DEISA_ERROR_COMMUNICATOR) with the port.
FileDescriptor listen_for_ranks(const std::string& master_address, int port);

// Lets this process open `needed` more files, as far as the system's hard limit goes.
void allow_files(size_t needed);

}  // namespace deisa
