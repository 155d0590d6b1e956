#include "info/show_status.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "control/child.hpp"
#include "control/cluster.hpp"
#include "control/launch.hpp"

namespace deisa {
namespace {

constexpr double kReachSeconds = 10;

}  // namespace

void show_status(const Control::Settings& settings, const std::vector<std::string>& arguments) {
  Places places = Places::of_this_process(settings.variables);
  places.library_folder = settings.library_folder;
  // The control process in Python, but for the module that it runs.
  Launch launch = how_to_launch(places, ControlKind::kPython, environment_of_this_process());
  const ClusterAddress address = find_cluster(places, settings.ray_address);
  check_reachable(address, Deadline::after(kReachSeconds));
  check_session(places, address);
  std::vector<std::string>& command = launch.command.arguments;
  command.back() = "deisa_bridge.watching";
  command.insert(command.end(), {"--address", address.text()});
  const std::string node_ip = find_node_ip(places, address);
  if (!node_ip.empty()) command.insert(command.end(), {"--node-ip", node_ip});
  command.insert(command.end(), arguments.begin(), arguments.end());
  ::execve(command.front().c_str(), pointers(command).data(),
           pointers(launch.command.environment).data());
  throw Error(DEISA_ERROR_CONNECTION, "cannot execute the Python of Ray, " + command.front() +
                                          " (DEISA_PYTHON): " + std::strerror(errno));
}

}  // namespace deisa
