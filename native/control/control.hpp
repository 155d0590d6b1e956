// The node leader's way to Ray: a process of its own, Java or Python, which lives until the node
// actor is there. Knows nothing of bridges, chunks or sockets: requests and replies are JSON texts
// that python/deisa_bridge/control.py understands. The protocol is that of docs/control.md.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/trace.hpp"

namespace deisa {

// In the order of the words of the setting `control`.
enum class ControlKind { kAuto, kJava, kPython };

class Control {
 public:
  struct Settings {
    ControlKind kind = ControlKind::kAuto;
    std::string ray_address = {};  // "" : RAY_ADDRESS, else the running local cluster
    // What a settings file says in the place of DEISA_ variables that are not set.
    std::map<std::string, std::string> variables = {};
    std::shared_ptr<Trace> trace = {};  // gets what takes how long, as done by `rank`
    int rank = 0;
    std::string library_folder = {};  // that of libdeisa; "": this code is part of it
  };

  // Starts the process and does not wait for it. Throws Error(DEISA_ERROR_CONNECTION) when Java,
  // Python or something else that it needs is missing, and says how to get it.
  static std::unique_ptr<Control> start(const Settings& settings);
  // Kills the process. Never throws.
  virtual ~Control() = default;

  // All below throw Error(DEISA_ERROR_CONNECTION), with how the process has ended and what it said
  // last, when it fails them; DEISA_ERROR_TIMEOUT past the deadline. After either it is killed.

  // Waits until it has loaded what it needs. Returns what it is: "Java, /usr/bin/java".
  virtual std::string wait_until_loaded(const Deadline& deadline) = 0;
  // Joins the cluster.
  virtual void connect(const Deadline& deadline) = 0;
  // Runs the function of deisa_bridge.control near this process. Returns its reply.
  virtual std::string run(const std::string& function, const std::string& request,
                          const Deadline& deadline) = 0;
  // Calls method(request) of an actor, and returns its reply.
  virtual std::string call(const std::string& actor, const std::string& method,
                           const std::string& request, const Deadline& deadline) = 0;
};

// For the kind of an error in a reply: the name of the status in lower case, as in "timeout".
// DEISA_ERROR_CONNECTION for one that is not known.
deisa_status status_of_kind(const std::string& kind);

}  // namespace deisa
