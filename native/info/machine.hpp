// The machine: shared memory, the port of the rendezvous without MPI, and the Ray cluster.
#pragma once

#include <string>

#include "control/locate.hpp"
#include "info/finding.hpp"

namespace deisa {

// The file system of Ray's object store: normally /dev/shm.
Finding check_store(const std::string& folder);

// Whether ranks can share memory with the node actor: memfd with seals.
Finding check_memfd();

// Whether rank 0 could listen for the others. `needed`: the rendezvous is surely without MPI.
Finding check_port(const Places& places, bool needed);

// Whether the cluster that would be joined answers.
Finding check_cluster(const Places& places);

// Whether this machine is one of its nodes. Call when it answers.
Finding check_node(const Places& places);

}  // namespace deisa
