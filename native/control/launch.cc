#include "control/launch.hpp"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>

#include "base/error.hpp"
#include "control/cluster.hpp"
#include "control/start_cache.hpp"

extern char** environ;

namespace deisa {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMain = "io.deisa.bridge.control.Main";
constexpr const char* kModule = "deisa_bridge.control";

using Variables = std::map<std::string, std::string>;

// The variables of the child, whose working directory is another one.
Variables variables_of(const Places& places, const std::vector<std::string>& environment) {
  Variables variables;
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=', 1);
    if (equals != std::string::npos) variables[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  for (const char* name : {"RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR", "TMPDIR"}) {
    const auto found = variables.find(name);
    if (found != variables.end()) found->second = absolute_path(found->second);
  }
  // What it prints is read only when it has failed.
  variables.emplace("RAY_BACKEND_LOG_LEVEL", "error");
  if (needs_token_mode(places)) variables["RAY_AUTH_MODE"] = "token";
  return variables;
}

std::vector<std::string> entries(const Variables& variables) {
  std::vector<std::string> all;
  for (const auto& [name, value] : variables) all.push_back(name + "=" + value);
  return all;
}

// Why no library can be unpacked into the folder and loaded from there; "" when it can.
std::string why_not(const std::string& folder) {
  struct statvfs system = {};
  if (::statvfs(folder.c_str(), &system) != 0) return std::strerror(errno);
  if ((system.f_flag & ST_NOEXEC) != 0) return "it is mounted noexec";
  return ::access(folder.c_str(), W_OK | X_OK) == 0 ? "" : std::strerror(errno);
}

// Java unpacks Ray's library into the cache, or else into the folder for temporary files.
void check_folders(const std::string& cache, const std::string& temporary) {
  const std::string not_cache = cache.empty() ? "" : why_not(cache);
  if (!cache.empty() && not_cache.empty()) return;
  const std::string not_temporary = why_not(temporary);
  if (not_temporary.empty()) return;
  throw Error(DEISA_ERROR_CONNECTION,
              "Ray's library for Java cannot be loaded from " + temporary + ": " + not_temporary +
                  (cache.empty() ? "; and there is no cache"
                                 : "; nor from the cache " + cache + ": " + not_cache) +
                  ". Let DEISA_CACHE name a folder of your own on a file system that is writable "
                  "and not mounted noexec, or use `control: python` (DEISA_CONTROL).");
}

Launch launch_java(const Places& places, Variables variables) {
  Launch launch;
  launch.kind = ControlKind::kJava;
  const std::string java = find_java(places);
  const std::string control_jar = find_control_jar(places);
  const std::string ray_jar = find_ray_jar(places);
  launch.python_path = find_python_path(places, packages_of(ray_jar));
  const std::string cache = cache_folder(places);
  const std::string temporary = absolute_path(places.variable("TMPDIR").value_or("/tmp"));
  check_folders(cache, temporary);
  std::vector<std::string> options = {
      // Else it may leave a socket in /tmp when it is killed.
      "-XX:+DisableAttachMechanism",
      "-Xmx128m",
      "-XX:CompressedClassSpaceSize=64m",  // 1 GiB of address space else, which `ulimit -v` counts
      "-XX:+UseSerialGC",
      "-XX:TieredStopAtLevel=1",
      "-XX:-UsePerfData",  // no files in /tmp/hsperfdata_<user>
      "-Xshare:auto",
      // No warnings of an archive that does not fit.
      "-Xlog:disable",
      "-Xlog:all=warning,cds*=off:stderr",
      "--add-opens=java.base/java.nio=ALL-UNNAMED",
      // To end without the destructors of Ray's library, which crash.
      "--add-opens=java.base/java.lang=ALL-UNNAMED",
      "-XX:ErrorFile=/dev/null",
      "-XX:-CreateCoredumpOnCrash",
      "-Djava.awt.headless=true",
      "-Dlog4j2.disableJmx=true",
      "-Dlog4j.shutdownHookEnabled=false",
      "-Djava.io.tmpdir=" + temporary,
      // Unpacks a library, and leaves a folder in ~/.cache elsewhere.
      "-Djna.tmpdir=" + temporary,
      "-Ddeisa.cache=" + cache,
  };
  if (java_version(java) >= 24) {
    // Ray's libraries do what Java 24 began to warn of.
    options.insert(options.end(),
                   {"--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"});
  }
  launch.java_options = places.variable("DEISA_JVM_OPTIONS").value_or("");
  std::istringstream more(launch.java_options);
  for (std::string option; more >> option;) options.push_back(option);
  options.push_back("--class-path=" + control_jar + ":" + ray_jar);
  // With an agent, Java makes no archive, and would not start if it was to.
  bool agent = false;
  for (const char* name : {"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"}) {
    agent = agent || places.variable(name).value_or("").find("agent") != std::string::npos;
  }
  if (!agent) launch.archive = use_class_archive(class_archive(cache, java, options), options);
  launch.command.arguments = {java};
  launch.command.arguments.insert(launch.command.arguments.end(), options.begin(), options.end());
  launch.command.arguments.push_back(kMain);
  launch.command.environment = entries(variables);
  return launch;
}

Launch launch_python(const Places& places, Variables variables) {
  Launch launch;
  launch.kind = ControlKind::kPython;
  const RayPackage ray = find_ray(places);
  launch.python_path = find_python_path(places, ray.packages);
  std::string path = launch.python_path;
  std::istringstream others(variables["PYTHONPATH"]);
  for (std::string folder; std::getline(others, folder, ':');) {
    if (!folder.empty()) path += ":" + absolute_path(folder);
  }
  variables["PYTHONPATH"] = path;
  variables["PYTHONUNBUFFERED"] = "1";  // so that its last lines are seen
  launch.command.arguments = {ray.python, "-P", "-m", kModule};
  launch.command.environment = entries(variables);
  return launch;
}

// Whether `find` finds it. What a variable names must be there: then the error is thrown later.
template <typename Find>
bool finds(const Places& places, const char* variable, Find find) {
  try {
    find(places);
    return true;
  } catch (const Error& error) {
    return places.variable(variable) || error.status() != DEISA_ERROR_CONNECTION;
  }
}

bool has_java(const Places& places) {
  return finds(places, "DEISA_JAVA_HOME", find_java) &&
         finds(places, "DEISA_JAR", find_control_jar) &&
         finds(places, "DEISA_RAY_JAR", find_ray_jar);
}

struct Cause {
  const char* line;  // a part of what is printed
  const char* text;
};

// Of Java and Python alike.
constexpr Cause kFewFiles = {
    "Too many open files",
    "Too few files may be open: raise the limit where the simulation is started (`ulimit -n`)."};
constexpr Cause kFewThreads = {
    "pthread_create failed",
    "Ray cannot start threads: raise the limits of processes (`ulimit -u`) and of the address "
    "space (`ulimit -v`)."};
constexpr Cause kNotMapped = {"failed to map segment",
                              "A library cannot be loaded: its folder is mounted noexec, or there "
                              "is too little memory (`ulimit -v`)."};

// The first that fits counts.
constexpr Cause kJavaCauses[] = {
    kFewFiles,
    kFewThreads,
    {"agent library",
     "Java cannot load an agent that JAVA_TOOL_OPTIONS or DEISA_JVM_OPTIONS "
     "names. Correct or unset them."},
    {"Could not reserve enough space",
     "Java gets too little memory: raise the limit of the address space (`ulimit -v`), or ask for "
     "less with -Xmx in DEISA_JVM_OPTIONS, or use `control: python`."},
    {"There is insufficient memory for the Java Runtime",
     "Java gets too little memory: raise the limit of the address space (`ulimit -v`) or of the "
     "job, or use `control: python`."},
    {"Cannot create VM thread",
     "Java cannot start threads: raise the limits of processes "
     "(`ulimit -u`) and of the address space (`ulimit -v`)."},
    {"OutOfMemoryError: unable to create",
     "Java cannot start threads: raise the limits of processes (`ulimit -u`) and of the address "
     "space (`ulimit -v`)."},
    {"OutOfMemoryError", "Java gets too little memory: correct -Xmx in DEISA_JVM_OPTIONS."},
    {"UnsupportedClassVersionError",
     "This Java is too old: Java 17 or later is needed. Set "
     "DEISA_JAVA_HOME to one."},
    {"Could not find or load main class",
     "deisa-bridge.jar is another version's or damaged. Reinstall deisa, or set DEISA_JAR."},
    {"maximum heap",
     "Java refuses an option of DEISA_JVM_OPTIONS or JAVA_TOOL_OPTIONS. "
     "Correct it."},
    {"Unrecognized",
     "Java refuses an option of DEISA_JVM_OPTIONS or JAVA_TOOL_OPTIONS, or is "
     "older than Java 17. Correct it, or set DEISA_JAVA_HOME."},
    kNotMapped,
    {"during initialization of VM",
     "Java cannot start with these options and limits. Look at "
     "DEISA_JVM_OPTIONS, JAVA_TOOL_OPTIONS and `ulimit -a`."},
    {"Could not create the Java Virtual Machine",
     "Java refuses an option of DEISA_JVM_OPTIONS or JAVA_TOOL_OPTIONS. Correct it."},
};

constexpr Cause kPythonCauses[] = {
    kFewFiles,
    kFewThreads,
    {"No module named 'ray'",
     "This Python has no package ray. Set DEISA_PYTHON to the python that "
     "Ray is installed in."},
    {"No module named 'deisa_bridge",
     "The package deisa_bridge is incomplete. Reinstall deisa, or "
     "set DEISA_PYTHON_PATH."},
    {"No module named deisa_bridge",
     "The package deisa_bridge is incomplete. Reinstall deisa, or "
     "set DEISA_PYTHON_PATH."},
    {"Unknown option: -P",
     "This Python is too old: 3.12 or later is needed. Set DEISA_PYTHON to "
     "one that Ray and deisa-ray are installed in."},
    {"MemoryError",
     "Python gets too little memory: raise the limit of the address space "
     "(`ulimit -v`) or of the job."},
    {"bad_alloc",
     "Python gets too little memory: raise the limit of the address space "
     "(`ulimit -v`) or of the job."},
    {"Cannot allocate memory",
     "Python gets too little memory: raise the limit of the address "
     "space (`ulimit -v`) or of the job."},
    kNotMapped,
    {"can't start new thread",
     "Python cannot start threads: raise the limits of processes "
     "(`ulimit -u`) and of the address space (`ulimit -v`)."},
};

template <size_t size>
std::string first_of(const Cause (&causes)[size], const std::string& lines) {
  for (const Cause& cause : causes) {
    if (lines.find(cause.line) != std::string::npos) return cause.text;
  }
  return "";
}

}  // namespace

std::vector<std::string> environment_of_this_process() {
  std::vector<std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    all.emplace_back(*entry);
  }
  return all;
}

Launch how_to_launch(const Places& places, ControlKind kind,
                     const std::vector<std::string>& environment) {
  const Variables variables = variables_of(places, environment);
  const bool java = kind == ControlKind::kJava || (kind == ControlKind::kAuto && has_java(places));
  Launch launch = java ? launch_java(places, variables) : launch_python(places, variables);
  launch.command.log = places.variable("DEISA_CONTROL_LOG").value_or("");
  return launch;
}

std::string explain(const Launch& launch, const std::string& how, const std::string& last_lines,
                    bool joining) {
  const bool java = launch.kind == ControlKind::kJava;
  std::string cause =
      java ? first_of(kJavaCauses, last_lines) : first_of(kPythonCauses, last_lines);
  if (!launch.java_options.empty() && cause.find("DEISA_JVM_OPTIONS") != std::string::npos) {
    cause += " DEISA_JVM_OPTIONS is '" + launch.java_options + "'.";
  }
  if (!cause.empty()) return cause;
  if (how.find("(SIGKILL)") != std::string::npos) {
    return "It was killed from outside: by the system when memory ran out, by the batch system, "
           "or by hand.";
  }
  if (joining) {
    return "Ray ends a process that cannot reach the socket of its node's raylet or write to its "
           "logs: the folder of Ray's session (below /tmp/ray, if Ray was not told otherwise) must "
           "be shared with this process, and be its user's.";
  }
  return std::string(
             "A file that DEISA_CONTROL_LOG names gets all that it prints. There is also "
             "`control: ") +
         (java ? "python" : "java") + "` (DEISA_CONTROL).";
}

}  // namespace deisa
