#include "control/launch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/test_places.hpp"

namespace deisa {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// With all that Java and Python need.
void install(Machine& machine) {
  machine.java("jvm/a", "17.0.1");
  machine.ray("venv");
  machine.file("install/share/deisa/deisa-bridge.jar");
  machine.file("install/share/deisa/python/deisa_bridge/__init__.py");
  machine.variables = {{"VIRTUAL_ENV", machine.path("venv")}, {"DEISA_CACHE", "none"}};
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += text + "\n";
  return all;
}

TEST(HowToLaunch, PrefersJava) {
  Machine machine;
  install(machine);
  machine.variables["DEISA_JVM_OPTIONS"] = "-Xmx1g  -Dx=y";
  machine.variables["DEISA_CONTROL_LOG"] = "/log";
  const Launch launch = how_to_launch(machine.places, ControlKind::kAuto, {"A=b=c", "=x", "odd"});
  EXPECT_EQ(launch.kind, ControlKind::kJava);
  const std::string& program = launch.command.arguments.front();
  EXPECT_EQ(program, machine.path("jvm/a/bin/java"));
  EXPECT_THAT(
      joined(launch.command.arguments),
      AllOf(HasSubstr("-Xmx1g\n-Dx=y\n"),
            HasSubstr("--class-path=" + machine.path("install/share/deisa/deisa-bridge.jar") + ":" +
                      machine.path("venv/lib/python3.12/site-packages/ray/jars/"
                                   "ray_dist.jar"))));
  EXPECT_EQ(launch.command.arguments.back(), "io.deisa.bridge.control.Main");
  EXPECT_EQ(launch.python_path, machine.path("install/share/deisa/python"));
  EXPECT_EQ(launch.command.log, "/log");
  EXPECT_THAT(launch.command.environment,
              AllOf(Contains("A=b=c"), Contains("RAY_BACKEND_LOG_LEVEL=error"),
                    Not(Contains(HasSubstr("RAY_AUTH_MODE")))));
}

TEST(HowToLaunch, TakesPythonWhereSomethingOfJavaIsMissing) {
  for (const char* missing : {"jvm", "install/share/deisa/deisa-bridge.jar"}) {
    Machine machine;
    install(machine);
    std::filesystem::remove_all(machine.path(missing));
    const Launch launch = how_to_launch(machine.places, ControlKind::kAuto,
                                        {"PYTHONPATH=/one::/two", "RAY_BACKEND_LOG_LEVEL=info"});
    EXPECT_EQ(launch.kind, ControlKind::kPython);
    EXPECT_EQ(joined(launch.command.arguments),
              machine.path("venv/bin/python3.12") + "\n-P\n-m\ndeisa_bridge.control\n");
    EXPECT_THAT(launch.command.environment,
                AllOf(Contains("PYTHONPATH=" + launch.python_path + ":/one:/two"),
                      Contains("RAY_BACKEND_LOG_LEVEL=info")));
    error_with(DEISA_ERROR_CONNECTION,
               [&] { how_to_launch(machine.places, ControlKind::kJava, {}); });
    EXPECT_THAT(error_with(DEISA_ERROR_CONNECTION,
                           [&] { how_to_launch(machine.places, ControlKind::kJava, {}); }),
                HasSubstr("was not found"));
  }
}

TEST(HowToLaunch, DoesNotTakePythonForWhatIsNamedAndNotThere) {
  for (const char* name : {"DEISA_JAVA_HOME", "DEISA_JAR", "DEISA_RAY_JAR"}) {
    Machine machine;
    install(machine);
    machine.variables[name] = "/none";
    EXPECT_THAT(error_with(DEISA_ERROR_CONNECTION,
                           [&] { how_to_launch(machine.places, ControlKind::kAuto, {}); }),
                HasSubstr(std::string(name) + " /none"));
    EXPECT_EQ(how_to_launch(machine.places, ControlKind::kPython, {}).kind, ControlKind::kPython);
  }
}

TEST(HowToLaunch, TellsRayToUseItsToken) {
  Machine machine;
  install(machine);
  machine.variables["HOME"] = machine.path("home");
  machine.file("home/.ray/auth_token", "secret");
  EXPECT_THAT(how_to_launch(machine.places, ControlKind::kJava, {}).command.environment,
              Contains("RAY_AUTH_MODE=token"));
}

TEST(HowToLaunch, NamesFoldersThatNothingCanBeLoadedFrom) {
  Machine machine;
  install(machine);
  machine.variables["TMPDIR"] = "/none";
  EXPECT_THAT(error_with(DEISA_ERROR_CONNECTION,
                         [&] { how_to_launch(machine.places, ControlKind::kJava, {}); }),
              AllOf(HasSubstr("/none: No such file"), HasSubstr("there is no cache")));
  machine.variables["DEISA_CACHE"] = machine.path("cache");
  const Launch launch = how_to_launch(machine.places, ControlKind::kJava, {});
  EXPECT_THAT(launch.command.arguments, AllOf(Contains("-Ddeisa.cache=" + machine.path("cache")),
                                              Contains("-Ddeisa.archive=" + launch.archive)));
}

TEST(Explain, KnowsWhatJavaSays) {
  const std::pair<const char*, const char*> cases[] = {
      {"Error occurred during initialization of VM\nCould not find agent library nosuch on the "
       "library path, with error: libnosuch.so",
       "JAVA_TOOL_OPTIONS"},
      {"Error occurred during initialization of VM\nCould not reserve enough space for 131072KB "
       "object heap",
       "ulimit -v"},
      {"Error occurred during initialization of VM\nToo small maximum heap", "'-Xmx5'"},
      {"Invalid maximum heap size: -Xmx9000000g\nThe specified size exceeds the maximum "
       "representable size.\nError: Could not create the Java Virtual Machine.",
       "DEISA_JVM_OPTIONS"},
      {"Unrecognized option: --add-opens=x\nError: Could not create the Java Virtual Machine.",
       "older than Java 17"},
      {"Error: LinkageError occurred while loading main class\n java.lang."
       "UnsupportedClassVersionError: x",
       "Java 17 or later"},
      {"Cannot create VM thread. Out of system resources.", "ulimit -u"},
      {"who knows", "DEISA_CONTROL_LOG"},
  };
  Launch launch;
  launch.java_options = "-Xmx5";
  for (const auto& [lines, part] : cases) {
    EXPECT_THAT(explain(launch, "exited with status 1", lines, false), HasSubstr(part)) << lines;
  }
}

TEST(Explain, KnowsWhatPythonSays) {
  Launch launch;
  launch.kind = ControlKind::kPython;
  EXPECT_THAT(
      explain(launch, "exited with status 1", "ModuleNotFoundError: No module named 'ray'", false),
      HasSubstr("DEISA_PYTHON"));
  EXPECT_THAT(explain(launch, "exited with status 1", "", true), HasSubstr("Ray's session"));
  // While it joins Ray, whose threads need address space.
  for (const ControlKind kind : {ControlKind::kJava, ControlKind::kPython}) {
    launch.kind = kind;
    const std::string said = "thd.cc:157] pthread_create failed: Resource temporarily unavailable";
    EXPECT_THAT(explain(launch, "was killed by signal 6 (SIGABRT)", said, true),
                HasSubstr("ulimit -v"));
  }
  EXPECT_THAT(explain(launch, "was killed by signal 9 (SIGKILL)", "", true), HasSubstr("memory"));
}

}  // namespace
}  // namespace deisa
