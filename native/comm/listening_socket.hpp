// Opens the socket on which the rendezvous store listens.
#pragma once

#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/file_descriptor.hpp"

namespace deisa {

// The addresses of this machine that `master_address` means, with `port`: of a numeric one that one,
// of "localhost" 127.0.0.1 and ::1, all that the name may be for another rank; else those of its
// network interfaces that it resolves to. Empty when there is none: Debian maps a machine's own name
// to 127.0.1.1, and a name may be that of a gateway.
std::vector<Address> own_addresses(const std::string& master_address, int port);

// Sockets at which the ranks reach rank 0: at own_addresses(), or at every address of this machine
// where there is none of those. `type` is SOCK_STREAM, and then they listen, or SOCK_DGRAM. Port 0:
// any free one, the same for all. Throws Error(DEISA_ERROR_COMMUNICATOR) that names the port, and
// who has it.
std::vector<FileDescriptor> bind_for_ranks(const std::string& master_address, int port, int type);

// What to do where too few files may be open.
inline constexpr const char* kRaiseFiles =
    "raise it (ulimit -Hn, or LimitNOFILE of the service that starts the job), or give the bridges "
    "an MPI communicator";

// Lets this process open `needed` more files. Throws Error(DEISA_ERROR_RESOURCE), which says that
// they are `what`, when the system's hard limit is below.
void allow_files(size_t needed, const std::string& what);

// Lets this process open `wanted` more files, or as many as the system allows. Returns the limit.
size_t raise_file_limit(size_t wanted);

}  // namespace deisa
