#include "control/cluster.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>

#include "base/address.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/number.hpp"

namespace deisa {
namespace {

namespace fs = std::filesystem;

constexpr double kConnectSeconds = 5;
constexpr const char* kHowToStart =
    "Start a cluster with `ray start --head`, or give the address of one with the option "
    "ray_address "
    "or RAY_ADDRESS (host:port).";

std::string strip(const std::string& text) {
  const char* blanks = " \t\r\n\f\v";
  const size_t first = text.find_first_not_of(blanks);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// "" for what cannot be read, as the files of a process that has just ended.
std::string read_text(const fs::path& path) {
  try {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  } catch (const std::ios_base::failure&) {
    return "";
  }
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return strip(line);
}

// Cuts host:port in two. What is wrong with the text; "": nothing.
std::string cut(const std::string& text, std::string* host, std::string* port) {
  if (text.find("://") != std::string::npos) return "is a URL, which only Ray Client uses";
  if (text == "local") return "asks for a cluster of its own, which cannot be shared";
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return "has no port";
  *host = text.substr(0, colon);
  *port = text.substr(colon + 1);
  if (host->size() > 2 && host->front() == '[' && host->back() == ']') {
    *host = host->substr(1, host->size() - 2);
  } else if (host->find(':') != std::string::npos) {
    return "is ambiguous: write an IPv6 address in brackets";
  }
  if (host->empty()) return "has no host";
  const bool digits = !port->empty() && port->size() <= 5 &&
                      port->find_first_not_of("0123456789") == std::string::npos;
  const int64_t number = digits ? parse_integer(*port).value_or(0) : 0;
  return number < 1 || number > 65535 ? "has no port between 1 and 65535" : "";
}

ClusterAddress parse(const std::string& text, const std::string& origin) {
  ClusterAddress address{"", "", origin};
  const std::string why = cut(text, &address.host, &address.port);
  if (why.empty()) return address;
  throw Error(DEISA_ERROR_ARGUMENT, "The Ray address '" + text + "' (from " + origin + ") " + why +
                                        "; expected host:port of a running cluster, such as "
                                        "192.0.2.1:6379.");
}

// What the host of an address may be; nothing when it is not known.
std::vector<Address> addresses_of(const ClusterAddress& address, const Deadline& deadline) {
  try {
    return resolve("the Ray address", address.host, std::stoi(address.port), deadline);
  } catch (const Error&) {
    return {};
  }
}

// Whether both are on one machine: names are compared by what they resolve to.
bool on_one_machine(const std::vector<Address>& some, const std::vector<Address>& others) {
  return std::any_of(some.begin(), some.end(), [&](const Address& one) {
    return std::any_of(others.begin(), others.end(),
                       [&](const Address& other) { return same_machine(one, other); });
  });
}

bool any_loopback(const std::vector<Address>& addresses) {
  return std::any_of(addresses.begin(), addresses.end(),
                     [](const Address& one) { return one.is_loopback(); });
}

// 0, or why the connection failed.
int try_connect(const Address& to, const Deadline& deadline) {
  FileDescriptor socket(::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  if (::connect(socket.get(), to.get(), to.length) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting{socket.get(), POLLOUT, 0};
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, deadline.poll_timeout());
  } while (ready < 0 && errno == EINTR && !deadline.expired());
  if (ready <= 0) return ETIMEDOUT;
  int reason = 0;
  socklen_t size = sizeof(reason);
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &reason, &size);
  return reason;
}

// The same for the path of a socket. One that has no room for now is there.
int try_connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return 0;  // Ray finds its own way, or says so
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  return ::connect(socket.get(), generic, sizeof(address)) == 0 || errno == EAGAIN ? 0 : errno;
}

std::string running_here(const Places& places) {
  std::set<std::string> clusters;
  for (const RunningRaylet& raylet : running_raylets(places)) clusters.insert(raylet.cluster);
  std::string text;
  for (const std::string& cluster : clusters) text += (text.empty() ? "" : ", ") + cluster;
  return text.empty() ? "" : " Running on this machine: " + text + ".";
}

}  // namespace

std::string ClusterAddress::text() const {
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
}

std::string why_no_address(const std::string& text) {
  const std::string plain = strip(text);
  std::string host, port;
  return plain.empty() || plain == "auto" ? "" : cut(plain, &host, &port);
}

ClusterAddress find_cluster(const Places& places, const std::string& given) {
  std::string text = strip(given);
  std::string origin = "the option ray_address";
  if (text.empty() || text == "auto") {
    text = strip(places.variable("RAY_ADDRESS").value_or(""));
    origin = "RAY_ADDRESS";
  }
  if (text.empty() || text == "auto") {
    auto folder = places.variable("RAY_TMPDIR");
    if (!folder) folder = places.variable("TMPDIR");
    const fs::path file = fs::path(folder.value_or("/tmp")) / "ray" / "ray_current_cluster";
    text = first_line(file);
    origin = file.string();
    if (text.empty()) {
      throw Error(DEISA_ERROR_CONNECTION,
                  "No Ray cluster was found: no address was given, RAY_ADDRESS is not "
                  "set, and " +
                      origin + " does not name one. " + kHowToStart + running_here(places));
    }
  }
  const ClusterAddress address = parse(text, origin);
  std::optional<std::vector<Address>> mine;  // a name is looked up where it matters only
  for (const RunningRaylet& raylet : running_raylets(places)) {
    ClusterAddress theirs{"", "", origin};
    if (!cut(raylet.cluster, &theirs.host, &theirs.port).empty()) continue;
    if (theirs.port != address.port) continue;
    const Deadline soon = Deadline::after(kConnectSeconds);
    if (!mine) mine = addresses_of(address, soon);
    if (any_loopback(*mine) || on_one_machine(*mine, addresses_of(theirs, soon))) return theirs;
  }
  return address;
}

void check_reachable(const ClusterAddress& address, const Deadline& deadline) {
  const Deadline soon = Deadline::after(std::min(kConnectSeconds, deadline.seconds()));
  const std::string where = address.text() + " (from " + address.origin + ")";
  const std::vector<Address> found = addresses_of(address, soon);
  if (found.empty()) {
    throw Error(DEISA_ERROR_CONNECTION,
                "The host of the Ray address " + where + " is not known. " + kHowToStart);
  }
  int reason = 0;
  for (const Address& to : found) {
    reason = try_connect(to, soon);
    if (reason == 0) return;
  }
  throw Error(DEISA_ERROR_CONNECTION, "No Ray cluster answers at " + where + ": " +
                                          std::strerror(reason) + ". " + kHowToStart);
}

std::vector<RunningRaylet> running_raylets(const Places& places) {
  std::vector<RunningRaylet> raylets;
  std::error_code error, unknown;
  // As text, such as "net:[4026531840]"; "" where that may not be read.
  const auto network_of = [&](const fs::path& process) {
    return fs::read_symlink(process / "ns" / "net", unknown);
  };
  const fs::path mine = network_of(fs::path(places.proc) / "self");
  for (fs::directory_iterator entry(places.proc, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string command = read_text(entry->path() / "cmdline");  // arguments end in NUL
    const std::string program = command.substr(0, command.find('\0'));
    if (fs::path(program).filename() != "raylet") continue;
    const auto argument = [&command](const std::string& key) -> std::string {
      const size_t at = command.find(std::string(1, '\0') + "--" + key + "=");
      if (at == std::string::npos) return "";
      const size_t value = at + key.size() + 4;
      return command.substr(value, command.find('\0', value) - value);
    };
    RunningRaylet raylet{argument("gcs-address"), argument("node_ip_address"), false, name,
                         argument("raylet_socket_name")};
    raylet.same_network = network_of(entry->path()) == mine;
    if (!raylet.cluster.empty()) raylets.push_back(std::move(raylet));
  }
  std::stable_partition(raylets.begin(), raylets.end(),
                        [](const RunningRaylet& raylet) { return raylet.same_network; });
  return raylets;
}

void check_session(const Places& places, const ClusterAddress& address) {
  const auto all = running_raylets(places);
  const auto ours = std::find_if(all.begin(), all.end(), [&](const RunningRaylet& raylet) {
    return raylet.cluster == address.text() && !raylet.socket.empty();
  });
  if (ours == all.end()) return;
  // <session>/sockets/raylet, and <session>/logs
  const fs::path session = fs::path(ours->socket).parent_path().parent_path();
  const std::string of = " of the raylet on this machine (process " + ours->pid + ")";
  std::error_code error;
  if (!fs::is_directory(session, error)) {
    throw Error(DEISA_ERROR_CONNECTION,
                "Ray's session folder " + session.string() + of + " is not to be seen from here: " +
                    (error ? error.message() : "it is no folder") +
                    ". Ray was started in another container, or this process in one: share the "
                    "folder between them, or start Ray where the simulation runs.");
  }
  const fs::path logs = session / "logs";
  if (::access(logs.c_str(), W_OK | X_OK) != 0) {
    const int reason = errno;
    throw Error(DEISA_ERROR_CONNECTION,
                "Ray's log folder " + logs.string() + of +
                    " cannot be written to: " + std::strerror(reason) + ". " +
                    (reason == EROFS ? "Mount it writable, at best with the whole session folder."
                                     : "Run the simulation as the user who started Ray, or let "
                                       "this user write there."));
  }
  if (const int reason = try_connect(ours->socket)) {
    throw Error(DEISA_ERROR_CONNECTION, "The socket " + ours->socket + of +
                                            " cannot be reached: " + std::strerror(reason) +
                                            ". Run the simulation as the user who started Ray, in "
                                            "the same container, or restart Ray on this node.");
  }
}

std::string find_node_ip(const Places& places, const ClusterAddress& address) {
  for (const RunningRaylet& raylet : running_raylets(places)) {
    if (raylet.cluster == address.text() && !raylet.node_ip.empty()) return raylet.node_ip;
  }
  // None is to be seen: in a container, or as another user's.
  const std::vector<Address> found = addresses_of(address, Deadline::after(kConnectSeconds));
  if (found.empty()) return "";
  // A name that is a loopback address here, as 127.0.1.1 on Debian, says nothing of the address
  // that Ray gave this node.
  const bool is_name = !parse_address(address.host, 1);
  if (is_name && any_loopback(found)) return "";
  const auto source = source_address(found.front());
  return source ? source->host() : "";
}

bool needs_token_mode(const Places& places) {
  const auto mode = places.variable("RAY_AUTH_MODE");
  std::string lower = mode.value_or("");
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (mode && lower != "token") return false;

  bool token = !strip(places.variable("RAY_AUTH_TOKEN").value_or("")).empty();
  std::string looked = "RAY_AUTH_TOKEN is not set";
  if (!token) {
    const auto path = places.variable("RAY_AUTH_TOKEN_PATH");
    const auto home = places.variable("HOME");
    const fs::path file =
        path ? fs::path(*path) : fs::path(home.value_or(".")) / ".ray" / "auth_token";
    token = !first_line(file).empty();
    looked += ", and " + file.string() + " is missing or empty";
    // Ray does not look further once the variable is set.
    if (path && !token) {
      throw Error(DEISA_ERROR_CONNECTION, "RAY_AUTH_TOKEN_PATH names a file without a token: " +
                                              file.string() + ". Correct it or unset it.");
    }
  }
  if (mode && !token) {
    throw Error(DEISA_ERROR_CONNECTION,
                "RAY_AUTH_MODE asks for a token, but there is none: " + looked +
                    ". Put the cluster's token there (`ray get-auth-token` prints it).");
  }
  return !mode && token;
}

}  // namespace deisa
