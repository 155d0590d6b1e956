#include "control/locate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/test_places.hpp"

namespace deisa {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string failure(const std::function<void()>& action) {
  return error_with(DEISA_ERROR_CONNECTION, action);
}

// ---- Java ----------------------------------------------------------------------------------

TEST(FindJava, PrefersItsOwnVariable) {
  Machine machine;
  const std::string ours = machine.java("ours", "17.0.1");
  machine.java("theirs", "21");
  machine.variables = {{"DEISA_JAVA_HOME", machine.path("ours")},
                       {"JAVA_HOME", machine.path("theirs")}};
  EXPECT_EQ(find_java(machine.places), ours);
}

TEST(FindJava, DoesNotLookFurtherWhenItsOwnVariableIsWrong) {
  Machine machine;
  machine.java("theirs", "21");
  machine.variables = {{"DEISA_JAVA_HOME", machine.path("none")},
                       {"JAVA_HOME", machine.path("theirs")}};
  EXPECT_THAT(
      failure([&] { find_java(machine.places); }),
      AllOf(HasSubstr("DEISA_JAVA_HOME " + machine.path("none")), HasSubstr("has no bin/java")));
}

TEST(FindJava, GoesOnWhenJavaHomeIsTooOld) {
  Machine machine;
  machine.java("old", "1.8.0_402");
  const std::string good = machine.java("new", "17.0.15");
  machine.link("bin/java", machine.path("new/bin/java"));
  machine.variables = {{"JAVA_HOME", machine.path("old")},
                       {"PATH", "/none:" + machine.path("bin")}};
  EXPECT_EQ(find_java(machine.places), good);
}

TEST(FindJava, TakesTheNewestOfTheMachine) {
  Machine machine;
  machine.java("jvm/a", "11.0.2");
  machine.java("jvm/b", "17.0.2");
  const std::string newest = machine.java("jvm/c", "21.0.2");
  machine.java("jvm/d", "9");
  EXPECT_EQ(find_java(machine.places), newest);
}

TEST(FindJava, AcceptsAJavaWithoutVersion) {
  Machine machine;
  const std::string java = machine.file("home/bin/java", "", true);
  machine.variables = {{"JAVA_HOME", machine.path("home")}};
  EXPECT_EQ(find_java(machine.places), java);
}

TEST(JavaVersion, IsTheMajorVersion) {
  Machine machine;
  EXPECT_EQ(java_version(machine.java("a", "1.8.0_402")), 8);
  EXPECT_EQ(java_version(machine.java("b", "17.0.15")), 17);
  EXPECT_EQ(java_version(machine.java("c", "25")), 25);
  EXPECT_EQ(java_version(machine.file("d/bin/java")), 0);
}

TEST(FindJava, SaysWhereItLooked) {
  Machine machine;
  machine.java("jvm/jdk8", "1.8.0");
  machine.variables = {{"JAVA_HOME", machine.path("gone")}, {"PATH", machine.path("bin")}};
  EXPECT_THAT(failure([&] { find_java(machine.places); }),
              AllOf(HasSubstr("JAVA_HOME " + machine.path("gone")), HasSubstr("PATH: has no java"),
                    HasSubstr("jdk8: is Java 8"), HasSubstr("DEISA_JAVA_HOME"),
                    HasSubstr("Install a JRE")));
}

// ---- Ray's jar -------------------------------------------------------------------------------

TEST(FindRayJar, PrefersTheJarThatIsNamed) {
  Machine machine;
  const std::string jar = machine.file("my.jar");
  machine.ray("venv");
  machine.variables = {{"DEISA_RAY_JAR", jar}, {"VIRTUAL_ENV", machine.path("venv")}};
  EXPECT_EQ(find_ray_jar(machine.places), jar);
  machine.variables["DEISA_RAY_JAR"] = "/none.jar";
  EXPECT_THAT(failure([&] { find_ray_jar(machine.places); }), HasSubstr("DEISA_RAY_JAR /none.jar"));
}

TEST(FindRayJar, UsesThePythonThatIsNamed) {
  Machine machine;
  const std::string jar = machine.ray("one");
  machine.ray("two");
  machine.variables = {{"DEISA_PYTHON", machine.path("one/bin/python3")},
                       {"VIRTUAL_ENV", machine.path("two")}};
  EXPECT_EQ(find_ray_jar(machine.places), jar);
  machine.variables["DEISA_PYTHON"] = machine.path("one");
  EXPECT_EQ(find_ray_jar(machine.places), jar);
  machine.variables["DEISA_PYTHON"] = machine.path("none/bin/python3");
  EXPECT_THAT(failure([&] { find_ray_jar(machine.places); }), HasSubstr("has no package ray"));
}

TEST(FindRayJar, StaysInAVirtualEnvironment) {
  Machine machine;
  const std::string system = machine.ray("usr");
  const std::string jar = machine.file("venv/lib/python3.12/site-packages/ray/jars/ray_dist.jar");
  machine.link("venv/bin/python3", machine.path("usr/bin/python3"));
  machine.variables = {{"PATH", machine.path("venv/bin")}};
  EXPECT_EQ(find_ray_jar(machine.places), jar);
  EXPECT_NE(jar, system);
}

TEST(FindRayJar, FollowsALinkThatIsNotInAnEnvironment) {
  Machine machine;
  const std::string jar = machine.ray("venv");
  machine.link("home/bin/ray", "../../venv/bin/ray");
  machine.variables = {{"PATH", machine.path("home/bin")}};
  EXPECT_EQ(find_ray_jar(machine.places), jar);
}

TEST(FindRayJar, KnowsDebiansFolders) {
  Machine machine;
  machine.file("usr/bin/python3", "", true);
  const std::string jar =
      machine.file("usr/local/lib/python3.11/dist-packages/ray/jars/ray_dist.jar");
  machine.variables = {{"PATH", machine.path("usr/bin")}};
  EXPECT_EQ(find_ray_jar(machine.places), jar);
}

TEST(FindRayJar, SurvivesACircleOfLinks) {
  Machine machine;
  machine.link("bin/python3", machine.path("bin/other"));
  machine.link("bin/other", machine.path("bin/python3"));
  machine.variables = {{"DEISA_PYTHON", machine.path("bin/python3")}};
  EXPECT_THAT(failure([&] { find_ray_jar(machine.places); }), HasSubstr("has no package ray"));
}

TEST(FindRayJar, RefusesAVersionOutsideTheRange) {
  Machine machine;
  const std::string jar = machine.ray("venv");
  machine.variables = {{"DEISA_PYTHON", machine.path("venv")}};
  const std::string version = "venv/lib/python3.12/site-packages/ray/_version.py";
  for (const char* outside : {"2.47.1", "2.61.0", "3.0.0.dev0", "1.60.0"}) {
    machine.file(version, "commit = \"b7f4\"\nversion = \"" + std::string(outside) + "\"\n");
    machine.variables.erase("DEISA_RAY_ANY");
    EXPECT_THAT(error_with(DEISA_ERROR_UNSUPPORTED, [&] { find_ray_jar(machine.places); }),
                AllOf(HasSubstr("Ray " + std::string(outside)), HasSubstr(packages_of(jar)),
                      HasSubstr("2.48 to 2.60"), HasSubstr("DEISA_RAY_ANY=1")));
    machine.variables["DEISA_RAY_ANY"] = "1";
    EXPECT_EQ(find_ray_jar(machine.places), jar);
  }
  machine.variables.erase("DEISA_RAY_ANY");
  for (const char* inside : {"2.48.0", "2.55.1", "2.60.7"}) {
    machine.file(version, "version = \"" + std::string(inside) + "\"\n");
    EXPECT_EQ(find_ray_jar(machine.places), jar);
  }
}

TEST(FindRayJar, SaysWhereItLooked) {
  Machine machine;
  machine.file("bin/python3", "", true);
  machine.variables = {{"PATH", machine.path("bin")}, {"VIRTUAL_ENV", machine.path("venv")}};
  EXPECT_THAT(failure([&] { find_ray_jar(machine.places); }),
              AllOf(HasSubstr("VIRTUAL_ENV " + machine.path("venv")), HasSubstr("PATH: has no ray"),
                    HasSubstr(machine.path("bin/python3")), HasSubstr("DEISA_PYTHON")));
}

TEST(FindRay, HasThePythonOfItsPrefix) {
  Machine machine;
  machine.ray("venv");
  machine.variables = {{"VIRTUAL_ENV", machine.path("venv")}};
  EXPECT_EQ(find_ray(machine.places).python, machine.path("venv/bin/python3.12"));
  EXPECT_EQ(find_ray(machine.places).packages, machine.path("venv/lib/python3.12/site-packages"));
  std::filesystem::remove(machine.path("venv/bin/python3.12"));
  EXPECT_EQ(find_ray(machine.places).python, machine.path("venv/bin/python3"));
  std::filesystem::remove(machine.path("venv/bin/python3"));
  EXPECT_THAT(failure([&] { find_ray(machine.places); }), HasSubstr("no python is in the folder"));
}

TEST(FindRay, NeedsNoJar) {
  Machine machine;
  machine.file("venv/bin/python3", "", true);
  machine.file("venv/lib/python3.12/site-packages/ray/__init__.py");
  machine.variables = {{"VIRTUAL_ENV", machine.path("venv")}};
  EXPECT_EQ(find_ray(machine.places).python, machine.path("venv/bin/python3"));
  EXPECT_THAT(failure([&] { find_ray_jar(machine.places); }), HasSubstr("control: python"));
}

// ---- Our own jar and package
// ---------------------------------------------------------------------

TEST(FindControlJar, LooksBesideTheLibraryThenInTheBuildTree) {
  Machine machine;
  EXPECT_THAT(failure([&] { find_control_jar(machine.places); }),
              AllOf(HasSubstr(machine.path("install/share/deisa/deisa-bridge.jar")),
                    HasSubstr("DEISA_JAR")));
  machine.places.build_jar = machine.file("build.jar");
  EXPECT_EQ(find_control_jar(machine.places), machine.path("build.jar"));
  const std::string unpacked = machine.file("install/lib/deisa-bridge.jar");
  EXPECT_EQ(find_control_jar(machine.places), unpacked) << "as the platform's jar is unpacked";
  const std::string installed = machine.file("install/share/deisa/deisa-bridge.jar");
  EXPECT_EQ(find_control_jar(machine.places), installed);
  machine.variables["DEISA_JAR"] = machine.file("mine.jar");
  EXPECT_EQ(find_control_jar(machine.places), machine.path("mine.jar"));
  machine.variables["DEISA_JAR"] = "/none.jar";
  EXPECT_THAT(failure([&] { find_control_jar(machine.places); }),
              HasSubstr("/none.jar: is not a file"));
}

TEST(FindControlJar, LooksWhereTheInstallationKeepsIt) {
  Machine machine;
  machine.places.library_folder = machine.path("usr/lib/x86_64-linux-gnu");
  machine.places.share = "../../share/deisa";
  const std::string jar = machine.file("usr/share/deisa/deisa-bridge.jar");
  machine.file("usr/lib/share/deisa/deisa-bridge.jar");
  EXPECT_EQ(find_control_jar(machine.places), jar);
}

TEST(FindPythonPath, LooksBesideTheLibraryInTheBuildTreeAndBesideRay) {
  Machine machine;
  const std::string jar = machine.ray("venv");
  const auto find = [&] { return find_python_path(machine.places, packages_of(jar)); };
  EXPECT_THAT(failure(find), AllOf(HasSubstr(machine.path("install/share/deisa/python")),
                                   HasSubstr("site-packages"), HasSubstr("DEISA_PYTHON_PATH")));
  machine.file("venv/lib/python3.12/site-packages/deisa_bridge/__init__.py");
  EXPECT_EQ(find(), machine.path("venv/lib/python3.12/site-packages"));
  machine.file("source/python/deisa_bridge/__init__.py");
  machine.places.build_python = machine.path("source/python");
  EXPECT_EQ(find(), machine.path("source/python"));
  machine.file("install/lib/python/deisa_bridge/__init__.py");
  EXPECT_EQ(find(), machine.path("install/lib/python")) << "as the platform's jar is unpacked";
  machine.file("install/share/deisa/python/deisa_bridge/__init__.py");
  EXPECT_EQ(find(), machine.path("install/share/deisa/python"));
  machine.variables["DEISA_PYTHON_PATH"] = machine.path("elsewhere");
  EXPECT_THAT(failure(find), HasSubstr(machine.path("elsewhere") + ": has no folder deisa_bridge"));
}

TEST(Places, KnowsThisProcess) {
  const Places places = Places::of_this_process();
  ASSERT_EQ(::setenv("DEISA_LOCATE_TEST", "", 1), 0);
  EXPECT_EQ(places.variable("DEISA_LOCATE_TEST"), std::nullopt);
  ASSERT_EQ(::setenv("DEISA_LOCATE_TEST", "x", 1), 0);
  EXPECT_EQ(places.variable("DEISA_LOCATE_TEST"), "x");
  EXPECT_EQ(places.library_folder, std::filesystem::canonical("/proc/self/exe").parent_path());
}

}  // namespace
}  // namespace deisa
