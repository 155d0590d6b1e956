#include "settings/settings.hpp"

#include <limits>

#include "base/error.hpp"
#include "base/nearest.hpp"

namespace deisa {
namespace {

using Group = Setting::Group;
using Type = Setting::Type;

constexpr double kMostInteger = std::numeric_limits<int>::max();

std::vector<Setting> make_table() {
  return {
      {Group::kOption, Type::kInteger, "bridge_id", "DEISA_BRIDGE_ID",
       "0 ... world_size - 1, or -1 for the communicator's rank", "the communicator's rank, else 0",
       "this rank, 0 ... world size - 1", -1, kMostInteger},
      {Group::kOption, Type::kInteger, "world_size", "DEISA_WORLD_SIZE",
       "at least 1, or -1 for the communicator's size", "the communicator's size, else 1",
       "number of ranks that send", -1, kMostInteger},
      {Group::kOption, Type::kText, "master_address", "DEISA_MASTER_ADDRESS", "text", "127.0.0.1",
       "host of bridge 0, for the rendezvous of ranks without a communicator"},
      {Group::kOption, Type::kInteger, "master_port", "DEISA_MASTER_PORT", "1 ... 65535", "29400",
       "port of the rendezvous on that host", 1, 65535},
      {Group::kOption, Type::kAddress, "ray_address", "DEISA_RAY_ADDRESS",
       "host:port of a running cluster, such as 192.0.2.1:6379, or auto",
       "`RAY_ADDRESS`, else the cluster that runs here", "`host:port` of Ray"},
      {Group::kOption, Type::kSeconds, "comm_timeout", "DEISA_COMM_TIMEOUT", "seconds, more than 0",
       "120", "for the rendezvous, and for a barrier of all ranks"},
      {Group::kOption, Type::kSeconds, "ready_timeout", "DEISA_READY_TIMEOUT",
       "seconds, more than 0", "600",
       "for `deisa_ready` after the rendezvous, including the wait for the analytics; the smallest "
       "value of all ranks applies"},
      {Group::kOption, Type::kSeconds, "send_timeout", "DEISA_SEND_TIMEOUT", "seconds, more than 0",
       "120", "for one wait in a send, a step or a flush"},
      {Group::kOption, Type::kText, "node_id", "DEISA_NODE_ID", "text", "this node of Ray",
       "name of the node; tests name several on one machine"},
      {Group::kOption, Type::kClass, "node_actor", "DEISA_NODE_ACTOR", "module:Class",
       "deisa-ray's own, extended", "`module:Class` of the node actor"},
      {Group::kOption, Type::kInteger, "init_retries", "DEISA_INIT_RETRIES", "1 ... 1000", "3",
       "attempts to create the node actor", 1, 1000},
      {Group::kOption, Type::kChoice, "acknowledge", "DEISA_ACKNOWLEDGE",
       "received | stored | announced", "received",
       "when a send returns: the node actor has received the chunk; it is in the object store; the "
       "head actor knows it"},
      {Group::kOption, Type::kInteger, "max_in_flight", "DEISA_MAX_IN_FLIGHT", "1 ... 1024", "2",
       "timesteps of a rank that are not yet in the object store; at the limit the next timestep "
       "may "
       "not begin",
       1, 1024},
      {Group::kOption, Type::kChoice, "when_full", "DEISA_WHEN_FULL", "block | skip | fail",
       "block",
       "what a rank does while a timestep may not begin: wait; skip it, on every rank alike "
       "(steps only); fail. See [back-pressure.md](back-pressure.md)"},
      {Group::kOption, Type::kTimeout, "block_timeout", "DEISA_BLOCK_TIMEOUT",
       "seconds, at least 0, or -1 for send_timeout with when_full = block and else 0", "-1",
       "how long a rank waits for space before the timestep is refused or skipped; -1: "
       "`send_timeout` with `block`, else 0"},
      {Group::kOption, Type::kPart, "store_threshold", "DEISA_STORE_THRESHOLD",
       "more than 0, at most 1", "0.5",
       "fraction of each node's object store that may be in use; Ray spills to disk from 0.8 on, "
       "and the analytics' results need space"},
      {Group::kOption, Type::kInteger, "max_ahead", "DEISA_MAX_AHEAD",
       "at least 1, or 0 for no limit", "0", "timesteps that may wait for the analytics", 0,
       kMostInteger},
      {Group::kOption, Type::kInteger, "window", "DEISA_WINDOW", "at least 1", "1",
       "timesteps that the analytics keep; `deisa_ready` refuses a window that cannot fit into the "
       "object store",
       1, kMostInteger},
      {Group::kOption, Type::kNumber, "feedback_interval", "DEISA_FEEDBACK_INTERVAL", "0 ... 3600",
       "0.1",
       "maximum age, in seconds, of a feedback value that is read without waiting; the node "
       "leader's value applies; 0: each read asks the head actor",
       0, 3600},
      {Group::kOption, Type::kChoice, "error_mode", "DEISA_ERRORS", "report | return", "report",
       "a failure that is not the caller's fault goes to the error handler (default: on stderr), "
       "or the call returns it"},

      {Group::kPlace, Type::kText, "java_home", "DEISA_JAVA_HOME", "text",
       "`JAVA_HOME`, the `java` on `PATH`, `/usr/lib/jvm`", "a JRE or JDK, 17 or newer"},
      {Group::kPlace, Type::kText, "python", "DEISA_PYTHON", "text",
       "`VIRTUAL_ENV`, the `ray` or `python3` on `PATH`",
       "the `python` that Ray is installed in; for `./run` and `./test`, which read the variable "
       "only: the one that makes the environment"},
      {Group::kPlace, Type::kText, "ray_jar", "DEISA_RAY_JAR", "text", "that of this Python",
       "Ray's `ray_dist.jar`"},
      {Group::kPlace, Type::kSwitch, "ray_any", "DEISA_RAY_ANY",
       "true, yes, on, 1, false, no, off or 0", "false",
       "accept a Ray outside the supported versions, which is refused otherwise; `./run` and "
       "`./test` understand `DEISA_RAY_ANY=1` too"},
      {Group::kPlace, Type::kText, "jar", "DEISA_JAR", "text", "beside the library",
       "`deisa-bridge.jar`"},
      {Group::kPlace, Type::kText, "python_path", "DEISA_PYTHON_PATH", "text", "beside the library",
       "the folder that contains the Python package `deisa_bridge`"},
      {Group::kPlace, Type::kText, "node_library", "DEISA_NODE_LIBRARY", "text",
       "beside `libdeisa.so`", "`libdeisa_node.so`"},
      {Group::kPlace, Type::kText, "", "DEISA_LIBRARY", "text",
       "beside the Python package, where the linker looks, or the build tree",
       "`libdeisa.so` for a simulation in Python"},
      {Group::kPlace, Type::kText, "", "DEISA_GLOO_LIBRARY", "text", "beside `libdeisa.so`",
       "`libdeisa_gloo.so`"},
      {Group::kPlace, Type::kFolder, "socket_dir", "DEISA_SOCKET_DIR", "a folder that is there",
       "that of the sockets of Ray's session, or the one for temporary files if the path would be "
       "too long",
       "folder of the node actor's socket; ranks and node actor must share it"},
      {Group::kPlace, Type::kText, "jvm_options", "DEISA_JVM_OPTIONS", "text", "none",
       "further options of Java in the control process, separated by spaces; its working directory "
       "is `/`"},
      {Group::kPlace, Type::kPath, "control_log", "DEISA_CONTROL_LOG", "a path",
       "none: the last lines are part of an error",
       "file that gets all that the control process prints"},
      {Group::kPlace, Type::kText, "cache", "DEISA_CACHE", "text",
       "`deisa` in `XDG_CACHE_HOME`, else in `~/.cache`",
       "folder for what makes the next start faster: Ray's native library, Java's classes; "
       "`none`: nothing is kept"},
      {Group::kPlace, Type::kPath, "trace", "DEISA_TRACE", "a path", "none: nothing is recorded",
       "file for a trace of all processes, in Chrome's trace format; see `docs/performance.md`"},

      {Group::kBeyond, Type::kSwitch, "", "DEISA_DISABLE", "true, yes, on, 1, false, no, off or 0",
       "false", "`1`: every call is a no-op that succeeds, and the settings file is not read"},
      {Group::kBeyond, Type::kText, "", "DEISA_CONFIG", "text", "none",
       "the settings file: `.json`, `.yaml` or `.yml`"},
      {Group::kBeyond, Type::kChoice, "backend", "DEISA_BACKEND", "ray | null | file", "ray",
       "where chunks go: to the analytics; nowhere; into NumPy files"},
      {Group::kBeyond, Type::kChoice, "control", "DEISA_CONTROL", "auto | java | python", "auto",
       "what the control process runs: Java; the Python of Ray; `auto`: Java if it and both jars "
       "are found, else Python. See [control.md](control.md)"},
      {Group::kBeyond, Type::kChoice, "aggregate", "DEISA_AGGREGATE", "none | node | auto", "none",
       "whether the chunks that the ranks of a node have of an array become one object and one "
       "chunk "
       "for the analytics: `none`; `node`: yes, and `deisa_ready` refuses an array of which they "
       "form "
       "no box; `auto`: as few boxes as possible. An array's own `aggregate` takes precedence. See "
       "[scale.md](scale.md)"},
      {Group::kBeyond, Type::kPath, "file_folder", "DEISA_FILE_FOLDER", "a path", "deisa-files",
       "the folder of `backend: file`, which must be empty or not exist"},
      {Group::kBeyond, Type::kSwitch, "status", "DEISA_STATUS",
       "true, yes, on, 1, false, no, off or 0", "false",
       "print the statistics of each rank on stderr when it closes"},
      {Group::kBeyond, Type::kNumber, "wait_notice", "DEISA_WAIT_NOTICE", "0 ... 86400", "5",
       "seconds after which rank 0 reports a wait on stderr, in one line: for whom it waits, for "
       "how much longer, and what to do; 0: never",
       0, 86400},
      {Group::kBeyond, Type::kText, "", "DEISA_SECRET", "text", "none",
       "rank 0 and the others refuse each other when they do not have the same secret (at most 256 "
       "bytes), which is not sent; see [security.md](security.md)"},

      {Group::kTest, Type::kNumber, "announce_delay", "DEISA_ANNOUNCE_DELAY", "0 ... 3600", "0",
       "seconds that a node actor waits before it announces", 0, 3600},
      {Group::kTest, Type::kText, "", "DEISA_GLOO_NODE", "text", "none",
       "ranks with different values communicate as if on different nodes"},
  };
}

const char* type_name(Type type) {
  switch (type) {
    case Type::kText:
      return "text";
    case Type::kClass:
      return "`module:Class`";
    case Type::kAddress:
      return "`host:port`, `auto`";
    case Type::kPath:
      return "path";
    case Type::kFolder:
      return "folder";
    case Type::kSwitch:
      return "true, false";
    case Type::kInteger:
      return "integer";
    case Type::kNumber:
      return "number";
    case Type::kSeconds:
      return "seconds, > 0";
    case Type::kTimeout:
      return "seconds, >= 0, or -1";
    case Type::kPart:
      return "number, > 0, <= 1";
    case Type::kChoice:
      break;
  }
  return "";
}

// A range such as "1 ... 65535" says more than "integer".
std::string shown_type(const Setting& one) {
  if (one.type == Type::kChoice) {
    std::string words;
    for (const std::string& word : choices(one))
      words += (words.empty() ? "`" : ", `") + word + "`";
    return words;
  }
  const bool has_range = one.type == Type::kInteger && one.least >= 0;
  return has_range || one.type == Type::kNumber ? one.expected : type_name(one.type);
}

std::string code(const char* name) {
  return *name != '\0' ? std::string("`") + name + "`" : std::string();
}

// "..." of C++ text is an ellipsis in Markdown.
std::string typographic(std::string text) {
  for (size_t at = text.find("..."); at != std::string::npos; at = text.find("...", at)) {
    text.replace(at, 3, "…");
  }
  return text;
}

}  // namespace

const std::vector<Setting>& all_settings() {
  static const std::vector<Setting> table = make_table();
  return table;
}

const Setting& setting(const std::string& name) {
  for (const Setting& one : all_settings()) {
    if (!name.empty() && (name == one.name || name == one.variable)) return one;
  }
  throw Error(DEISA_ERROR_INTERNAL, "there is no setting '" + name + "'");
}

bool is_setting(const std::string& name) {
  for (const Setting& one : all_settings()) {
    if (!name.empty() && name == one.name) return true;
  }
  return false;
}

std::string known_settings(const std::string& given, const std::string& more) {
  std::vector<std::string> names;
  if (!more.empty()) names.push_back(more);
  for (const Setting& one : all_settings()) {
    if (*one.name != '\0') names.push_back(one.name);
  }
  const std::string near = nearest(given, names);
  std::string keys = near.empty() ? "" : near + "? Else one of ";
  for (const Setting& one : all_settings()) {
    const bool common = one.group == Group::kOption || one.group == Group::kBeyond;
    if (common && *one.name != '\0') keys += std::string(one.name) + ", ";
  }
  return keys + (more.empty() ? "" : more + ", ") + "or one of docs/settings.md";
}

bool is_text(const Setting& setting) {
  switch (setting.type) {
    case Type::kText:
    case Type::kClass:
    case Type::kAddress:
    case Type::kPath:
    case Type::kFolder:
      return true;
    default:
      return false;
  }
}

std::vector<std::string> choices(const Setting& setting) {
  std::vector<std::string> words;
  const std::string all = setting.expected;
  for (size_t at = 0; at <= all.size();) {
    const size_t end = std::min(all.find(" | ", at), all.size());
    words.push_back(all.substr(at, end - at));
    at = end + 3;
  }
  return words;
}

std::string settings_markdown() {
  const struct {
    Group group;
    const char* title;
  } groups[] = {
      {Group::kOption, "Options of a bridge"},
      {Group::kBeyond, "From outside the program only"},
      {Group::kPlace, "Where things are found"},
      {Group::kTest, "For tests"},
  };
  std::string text;
  for (const auto& [group, title] : groups) {
    text += std::string(text.empty() ? "" : "\n") + "### " + title + "\n\n" +
            "| in the file | variable | type | default | meaning |\n|---|---|---|---|---|\n";
    for (const Setting& one : all_settings()) {
      if (one.group != group) continue;
      text += "| " + code(one.name) + " | " + code(one.variable) + " | " + shown_type(one) + " | " +
              one.fallback + " | " + one.meaning + " |\n";
    }
  }
  return typographic(text);
}

}  // namespace deisa
