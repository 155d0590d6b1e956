#include "info/machine.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/number.hpp"
#include "comm/listening_socket.hpp"
#include "control/cluster.hpp"

namespace deisa {
namespace {

// Docker gives 64 MiB, with which Ray falls back to a file below /tmp.
constexpr double kLeastStore = 256.0 * 1024 * 1024;
constexpr double kClusterSeconds = 5;

std::string size_text(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return fixed_text(bytes, unit == 0 ? 0 : 1) + " " + units[unit];
}

ClusterAddress cluster(const Places& places) {
  return find_cluster(places, places.variable("DEISA_RAY_ADDRESS").value_or(""));
}

}  // namespace

Finding check_store(const std::string& folder) {
  const char* const what = "object store";
  struct statvfs space = {};
  if (::statvfs(folder.c_str(), &space) != 0) {
    return Finding::missing(what, folder + ": " + std::strerror(errno),
                            "Mount a tmpfs there: Ray keeps its objects in it.");
  }
  const double total = static_cast<double>(space.f_frsize) * static_cast<double>(space.f_blocks);
  const double free = static_cast<double>(space.f_frsize) * static_cast<double>(space.f_bavail);
  const std::string text = folder + " has " + size_text(total) + ", " + size_text(free) + " free";
  if (total < kLeastStore) {
    return Finding::missing(what, text + ": too small, Ray would use files below /tmp",
                            "Make it larger (Docker: --shm-size=8g): at least some timesteps of "
                            "this node's chunks must fit.");
  }
  return Finding::good(what, text);
}

Finding check_memfd() {
  const char* const what = "shared memory";
  const size_t size = 1u << 16;
  const FileDescriptor file(::memfd_create("deisa-info", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const bool sized = file && ::ftruncate(file.get(), static_cast<off_t>(size)) == 0 &&
                     ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0;
  void* const memory =
      sized ? ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0) : MAP_FAILED;
  if (memory == MAP_FAILED) {
    return Finding::missing(what, std::string("memfd does not work: ") + std::strerror(errno),
                            "Use Linux 3.17 or later, and a sandbox that allows memfd_create.");
  }
  ::munmap(memory, size);
  return Finding::good(what, "memfd works");
}

Finding check_port(const Places& places, bool needed) {
  const char* const what = "master port";
  const std::string text = places.variable("DEISA_MASTER_PORT").value_or("29400");
  const std::string address = places.variable("DEISA_MASTER_ADDRESS").value_or("127.0.0.1");
  const int64_t port = parse_integer(text).value_or(0);
  if (port < 1 || port > 65535) {
    return Finding::missing(what, "DEISA_MASTER_PORT is '" + text + "'",
                            "Set it to a port, 1 ... 65535.");
  }
  try {
    bind_for_ranks(address, static_cast<int>(port), SOCK_STREAM);
  } catch (const Error& error) {
    return needed ? Finding::missing(what, error.what(), "")
                  : Finding::note(what, error.what(), "Only a rendezvous without MPI needs it.");
  }
  return Finding::good(what, text + " is free");
}

Finding check_cluster(const Places& places) {
  try {
    const ClusterAddress address = cluster(places);
    check_reachable(address, Deadline::after(kClusterSeconds));
    const bool token = needs_token_mode(places);
    return Finding::good("cluster", address.text() + " answers (from " + address.origin + ")" +
                                        (token ? ", a token is used" : ""));
  } catch (const Error& error) {
    return Finding::missing("cluster", error.what(), "");
  }
}

Finding check_node(const Places& places) {
  const std::string address = cluster(places).text();
  for (const RunningRaylet& raylet : running_raylets(places)) {
    if (raylet.cluster == address) {
      return Finding::good("node", "Ray runs on this machine, as " + raylet.node_ip);
    }
  }
  return Finding::note("node", "no process of that cluster is seen on this machine",
                       "Every node of a simulation must be one of the cluster: ray start "
                       "--address=" +
                           address + ". (In a container it may be out of sight.)");
}

}  // namespace deisa
