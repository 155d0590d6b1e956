// Finds on disk what a connection to Ray needs: libjvm, Ray's jar, the control jar and the Python
// package. Only looks at environment variables and files; starts no process.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace deisa {

// Where to look. The members are there for tests; the defaults are this process and this machine.
struct Places {
  // An environment variable; one that is empty counts as unset.
  std::function<std::optional<std::string>(const char*)> variable;
  std::string jvm_root = "/usr/lib/jvm";
  // The folder of the shared object (or program) that this code is part of.
  std::string library_folder;
  // Where the installation keeps the jar and the Python package, from the folder of the library.
  std::string share = "../share/deisa";
  // What the build tree provides; "" when unknown.
  std::string build_jar;
  std::string build_python;
  std::string proc = "/proc";

  // `chosen`: values of variables that count more than the environment.
  static Places of_this_process(const std::map<std::string, std::string>& chosen = {});
};

// All four throw Error(DEISA_ERROR_CONNECTION) that lists where they looked and says what to do.
// A DEISA_ variable that is set is the only place: when it is wrong, that is the error.

// libjvm.so of Java 17 or later: DEISA_JAVA_HOME; JAVA_HOME; the java on PATH; jvm_root, newest
// first.
std::string find_libjvm(const Places& places);

// The major version of the Java with this libjvm.so, such as 17; 0: unknown.
int java_version(const std::string& libjvm);

// ray_dist.jar of the installed Ray: DEISA_RAY_JAR; the Python of DEISA_PYTHON; VIRTUAL_ENV;
// the ray, then the python3 on PATH. Throws Error(DEISA_ERROR_UNSUPPORTED) if it is of a Ray
// outside the range of python/deisa_bridge/versions.py, unless DEISA_RAY_ANY is true.
std::string find_ray_jar(const Places& places);

// The jar with io.deisa.bridge.control: DEISA_JAR; deisa-bridge.jar in `share`; the build tree.
std::string find_control_jar(const Places& places);

// The folder that holds the Python package deisa_bridge: DEISA_PYTHON_PATH; python in `share`;
// python beside the library; the build tree; the site-packages that `ray_jar` is in.
std::string find_python_path(const Places& places, const std::string& ray_jar);

}  // namespace deisa
