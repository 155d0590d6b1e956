// Finds on disk what the control process needs: Java, Ray with its Python and its jar, the control
// jar and the Python package. Only looks at environment variables and files; starts no process.
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

  // `otherwise`: values of variables that are not set.
  static Places of_this_process(const std::map<std::string, std::string>& otherwise = {});
};

// The path from the root, for the control process, whose working directory is another one. As it is
// when that of this process is gone.
std::string absolute_path(const std::string& path);

// All that begin with "find" throw Error(DEISA_ERROR_CONNECTION) that lists where they looked and
// says what to do. A DEISA_ variable that is set is the only place: when it is wrong, that is the
// error.

// The program `java` of Java 17 or later: of DEISA_JAVA_HOME; JAVA_HOME; on PATH; in jvm_root,
// newest first.
std::string find_java(const Places& places);

// The major version of this program `java`, such as 17; 0: unknown.
int java_version(const std::string& java);

// An installed Ray.
struct RayPackage {
  std::string python;    // the program
  std::string packages;  // the folder that holds the package ray
};
// The Ray of DEISA_PYTHON (a program, or the prefix of one); of VIRTUAL_ENV; beside the ray, then
// the python3 on PATH. Throws Error(DEISA_ERROR_UNSUPPORTED) if it is outside the range of
// python/deisa_bridge/versions.py, unless DEISA_RAY_ANY is 1.
RayPackage find_ray(const Places& places);

// Its ray_dist.jar, unless DEISA_RAY_JAR names another one. Throws as find_ray().
std::string find_ray_jar(const Places& places);

// The folder that holds the package ray that this jar is part of.
std::string packages_of(const std::string& ray_jar);

// The jar with io.deisa.bridge.control: DEISA_JAR; deisa-bridge.jar in `share` or beside the library;
// the build tree.
std::string find_control_jar(const Places& places);

// The folder that holds the Python package deisa_bridge: DEISA_PYTHON_PATH; python in `share`;
// python beside the library; the build tree; `packages`, where Ray is.
std::string find_python_path(const Places& places, const std::string& packages);

}  // namespace deisa
