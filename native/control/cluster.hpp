// The Ray cluster to join: its address, whether something answers there, under which address
// this machine belongs to it, and whether a token is needed. Nothing here needs Java.
#pragma once

#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "control/locate.hpp"

namespace deisa {

struct ClusterAddress {
  std::string host;  // without brackets
  std::string port;
  std::string origin;  // where it was found, for messages: "RAY_ADDRESS"

  // host:port, with brackets around an IPv6 address.
  std::string text() const;
};

// The address as Ray finds it: `given` if not empty, else RAY_ADDRESS, else the file
// ray_current_cluster that `ray start` writes. "auto" stands for none. An address of
// the machine on which a raylet here has its cluster becomes the raylet's: names are compared by
// what they resolve to, and a loopback address is this machine. Throws
// Error(DEISA_ERROR_CONNECTION) when there is none, DEISA_ERROR_ARGUMENT when it is not host:port.
ClusterAddress find_cluster(const Places& places, const std::string& given);

// Why a text is no address of a cluster, neither host:port nor "auto", as the end of a sentence; ""
// if it is one, or empty.
std::string why_no_address(const std::string& text);

// Throws Error(DEISA_ERROR_CONNECTION) unless something accepts TCP connections there within
// a few seconds: Ray itself takes 41 s to notice.
void check_reachable(const ClusterAddress& address, const Deadline& deadline);

// The address under which this machine's raylet is registered with the cluster: that of the raylet
// that runs here, else the one that routes to the cluster, else "" (Ray decides).
std::string find_node_ip(const Places& places, const ClusterAddress& address);

// A raylet that runs on this machine, from its command line. Those of this process's network
// namespace come first: another namespace is another node, with other addresses.
struct RunningRaylet {
  std::string cluster;  // host:port of its cluster
  std::string node_ip;
  bool same_network;  // or it is not known
  std::string pid;
  std::string socket;  // the path that it listens on, as it sees it
};
std::vector<RunningRaylet> running_raylets(const Places& places);

// Throws Error(DEISA_ERROR_CONNECTION), with folder and reason, when this process cannot use what
// the raylet of this cluster on this machine shares with its processes: its session's folder, the
// folder of the logs in it, its socket. Ray ends a driver without a word then. Does nothing when no
// such raylet is to be seen.
void check_session(const Places& places, const ClusterAddress& address);

// Whether Ray must be told to use its token although RAY_AUTH_MODE is not set: as Ray's
// Python does, when there is a token. Throws Error(DEISA_ERROR_CONNECTION) when RAY_AUTH_MODE
// demands a token and there is none, for which Ray's native library would abort.
bool needs_token_mode(const Places& places);

}  // namespace deisa
