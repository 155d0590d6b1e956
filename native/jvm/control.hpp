// The node leader's way to Ray: the Java control class, in the JVM that is there or in one that is
// started here, on a thread of its own. Knows nothing of bridges, chunks or sockets: requests and
// replies are JSON texts that python/deisa_bridge/control.py understands.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/trace.hpp"

namespace deisa {

class Control {
 public:
  struct Settings {
    std::string ray_address = {};  // "" : RAY_ADDRESS, else the running local cluster
    // What a settings file says in the place of DEISA_ variables that are not set.
    std::map<std::string, std::string> variables = {};
    std::shared_ptr<Trace> trace = {};  // gets what takes how long, as done by `rank`
    int rank = 0;
  };

  // Starts or finds the JVM and connects to Ray. Throws Error(DEISA_ERROR_CONNECTION) when Java,
  // Ray's jar or a running cluster is missing, and says how to get it; DEISA_ERROR_TIMEOUT past the
  // deadline.
  static std::unique_ptr<Control> connect(const Settings& settings, const Deadline& deadline);
  // Leaves Ray, if it was joined by connect(). Never throws, never waits more than a few seconds.
  virtual ~Control() = default;

  // Runs deisa_bridge.control.prepare(request) as a Ray task near this process: creates or gets
  // the node actor. Returns its reply.
  virtual std::string prepare(const std::string& request, const Deadline& deadline) = 0;
  // Calls method(request) of the actor that `prepare` named, and returns its reply.
  virtual std::string call(const std::string& actor, const std::string& method,
                           const std::string& request, const Deadline& deadline) = 0;
};

}  // namespace deisa
