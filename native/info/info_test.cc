// What deisa-info says, on made-up machines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/file_descriptor.hpp"
#include "control/test_places.hpp"
#include "info/languages.hpp"
#include "info/libraries.hpp"
#include "info/machine.hpp"
#include "info/settings_check.hpp"

namespace deisa {
namespace {

using testing::HasSubstr;
using Level = Finding::Level;

// "what level" of each, in order.
std::vector<std::string> summary(const std::vector<Finding>& findings) {
  const char* const levels[] = {"ok", "note", "missing", "wrong"};
  std::vector<std::string> lines;
  for (const Finding& finding : findings) {
    lines.push_back(finding.what + " " + levels[static_cast<size_t>(finding.level)]);
  }
  return lines;
}

using Lines = std::vector<std::string>;

const std::string kPackages = "venv/lib/python3.12/site-packages/";

// A machine with all that Python needs.
void install_python(Machine& machine) {
  machine.ray("venv");
  machine.variables["VIRTUAL_ENV"] = machine.path("venv");
  machine.file(kPackages + "ray-2.60.0.dist-info/METADATA");
  machine.file(kPackages + "deisa_ray-0.1.8.dist-info/METADATA");
  machine.file(kPackages + "numpy-2.5.5.dist-info/METADATA");
  machine.file(kPackages + "msgpack-1.2.4.dist-info/METADATA");
  machine.file("install/share/deisa/python/deisa_bridge/__init__.py");
}

TEST(Versions, AreComparedNumberByNumber) {
  EXPECT_TRUE(is_at_least("2.48", "2.48"));
  EXPECT_TRUE(is_at_least("2.48.0", "2.48"));
  EXPECT_TRUE(is_at_least("2.100.1", "2.48"));
  EXPECT_TRUE(is_at_least("3", "2.48"));
  EXPECT_TRUE(is_at_least("0.1.8rc1", "0.1.8"));
  EXPECT_FALSE(is_at_least("2.9.3", "2.48"));
  EXPECT_FALSE(is_at_least("2", "2.48"));
  EXPECT_FALSE(is_at_least("0.1.7", "0.1.8"));
}

TEST(CheckPython, IsContentWhenAllIsThere) {
  Machine machine;
  install_python(machine);
  EXPECT_EQ(summary(check_python(machine.places)),
            (Lines{"Ray's Python ok", "Python ok", "ray ok", "deisa-ray ok", "numpy ok",
                   "msgpack ok", "deisa_bridge ok"}));
}

TEST(CheckPython, NamesWhatIsMissingAndHowToGetIt) {
  Machine machine;
  install_python(machine);
  std::filesystem::remove_all(machine.path(kPackages + "deisa_ray-0.1.8.dist-info"));
  std::filesystem::remove_all(machine.path(kPackages + "ray-2.60.0.dist-info"));
  machine.file(kPackages + "ray-2.9.3.dist-info/METADATA");
  const auto findings = check_python(machine.places);
  EXPECT_EQ(summary(findings),
            (Lines{"Ray's Python ok", "Python ok", "ray missing", "deisa-ray missing", "numpy ok",
                   "msgpack ok", "deisa_bridge ok"}));
  EXPECT_THAT(findings[2].text, HasSubstr("2.9.3 is too old: expected 2.48"));
  EXPECT_THAT(findings[3].advice, HasSubstr("pip install 'deisa-ray>=0.1.8'"));
}

TEST(CheckPython, SaysWhereItLookedForRay) {
  Machine machine;
  const auto findings = check_python(machine.places);
  EXPECT_EQ(summary(findings), (Lines{"Ray's Python missing", "deisa_bridge missing"}));
  EXPECT_THAT(findings[0].text, HasSubstr("VIRTUAL_ENV: not set"));
  EXPECT_THAT(findings[0].advice, HasSubstr("DEISA_PYTHON"));
}

TEST(CheckPython, RefusesAnOldPython) {
  Machine machine;
  machine.file("old/lib/python3.9/site-packages/ray/__init__.py");
  machine.file("old/bin/python3", "", true);
  machine.variables["DEISA_PYTHON"] = machine.path("old");
  EXPECT_THAT(check_python(machine.places)[1].text,
              HasSubstr("3.9 is too old: deisa-ray expects 3.12"));
}

TEST(CheckPython, KnowsNoPackagesOfAJarElsewhere) {
  Machine machine;
  machine.variables["DEISA_RAY_JAR"] = machine.file("jars/x/y/ray.jar");
  EXPECT_EQ(summary(check_python(machine.places)),
            (Lines{"packages note", "deisa_bridge missing"}));
}

TEST(CheckJava, FindsItOrSaysWhatToDo) {
  Machine machine;
  machine.variables["PATH"] = machine.path("bin");
  auto findings = check_java(machine.places, ControlKind::kJava);
  EXPECT_EQ(summary(findings), (Lines{"Java missing", "control jar missing", "Ray's jar missing"}));
  EXPECT_THAT(findings[0].advice, HasSubstr("Install a JRE"));
  const Lines notes = {"Java note", "control jar note", "Ray's jar note"};
  EXPECT_EQ(summary(check_java(machine.places, ControlKind::kAuto)), notes);
  const std::string java = machine.java("jvm/a", "21.0.2");
  machine.file("install/share/deisa/deisa-bridge.jar");
  machine.ray("venv");
  machine.variables["VIRTUAL_ENV"] = machine.path("venv");
  findings = check_java(machine.places, ControlKind::kAuto);
  EXPECT_EQ(summary(findings), (Lines{"Java ok", "control jar ok", "Ray's jar ok"}));
  EXPECT_EQ(findings[0].text, "Java 21, " + java);
  machine.variables["DEISA_JAVA_HOME"] = "/none";
  EXPECT_EQ(check_java(machine.places, ControlKind::kAuto)[0].level, Level::kMissing);
  EXPECT_EQ(check_java(machine.places, ControlKind::kPython)[0].level, Level::kNote);
}

TEST(CheckSettings, SaysWhatIsRefusedAndWhatHasNoEffect) {
  const char* const names[] = {"DEISA_WINDOWS=4", nullptr};
  auto findings = check_settings(
      [](const char* name) -> const char* {
        return std::string(name) == "DEISA_WINDOW" ? "0" : nullptr;
      },
      names);
  EXPECT_EQ(summary(findings), (Lines{"settings wrong", "settings note"}));
  EXPECT_THAT(findings[0].text, HasSubstr("window = '0' (from DEISA_WINDOW): expected at least 1"));
  EXPECT_THAT(findings[1].text, HasSubstr("Did you mean DEISA_WINDOW?"));
  findings = check_settings([](const char*) -> const char* { return nullptr; }, names + 1);
  EXPECT_EQ(summary(findings), (Lines{"settings ok"}));
}

TEST(CheckLibraries, LooksBesideLibdeisa) {
  Machine machine;
  const auto findings =
      check_libraries(machine.places, machine.path("install/lib/libdeisa.so.0.2"));
  EXPECT_EQ(summary(findings),
            (Lines{"libdeisa ok", "node actor missing", "Gloo note", "YAML note", "MPI note"}));
  EXPECT_THAT(findings[1].text, HasSubstr(machine.path("install/lib/libdeisa_node.so")));
  EXPECT_THAT(findings[2].advice, HasSubstr("DEISA_BUILD_GLOO"));
}

TEST(CheckLibraries, TriesToLoadThem) {
  Machine machine;
  machine.file("install/lib/libdeisa_mpi.so." DEISA_SOVERSION, "not a library");
  machine.variables["DEISA_NODE_LIBRARY"] = loaded_library();  // any library will do
  const auto findings =
      check_libraries(machine.places, machine.path("install/lib/libdeisa.so.0.2"));
  EXPECT_EQ(summary(findings),
            (Lines{"libdeisa ok", "node actor ok", "Gloo note", "YAML note", "MPI missing"}));
  EXPECT_THAT(findings[4].text, HasSubstr("cannot be loaded"));
}

TEST(LoadedLibrary, IsLibdeisaItself) { EXPECT_THAT(loaded_library(), HasSubstr("libdeisa.so")); }

TEST(CheckStore, WantsRoom) {
  EXPECT_EQ(check_store("/nowhere").level, Level::kMissing);
  const Finding none = check_store("/proc");  // a file system without room
  EXPECT_EQ(none.level, Level::kMissing);
  EXPECT_THAT(none.text, HasSubstr("too small"));
  EXPECT_THAT(none.advice, HasSubstr("--shm-size"));
}

TEST(CheckMemfd, Works) { EXPECT_EQ(check_memfd().level, Level::kGood); }

// A port that is listened on as long as this lives.
class BusyPort {
 public:
  BusyPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_.get(), generic, size) != 0 || ::listen(socket_.get(), 1) != 0 ||
        ::getsockname(socket_.get(), generic, &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port = ntohs(address.sin_port);
  }
  int port = 0;

 private:
  FileDescriptor socket_;
};

TEST(CheckPort, SeesWhetherItIsInUse) {
  Machine machine;
  {
    const BusyPort busy;
    machine.variables["DEISA_MASTER_PORT"] = std::to_string(busy.port);
    const Finding used = check_port(machine.places, true);
    EXPECT_EQ(used.level, Level::kMissing);
    EXPECT_THAT(used.text, HasSubstr("in use"));
    EXPECT_EQ(check_port(machine.places, false).level, Level::kNote);
  }
  EXPECT_EQ(check_port(machine.places, true).level, Level::kGood);
  machine.variables["DEISA_MASTER_PORT"] = "many";
  EXPECT_EQ(check_port(machine.places, true).level, Level::kMissing);
}

TEST(CheckCluster, SeesWhetherItAnswers) {
  Machine machine;
  machine.variables["RAY_TMPDIR"] = machine.path("tmp");
  machine.variables["HOME"] = machine.path("home");
  EXPECT_THAT(check_cluster(machine.places).text, HasSubstr("ray start --head"));
  const BusyPort cluster;
  const std::string address = "127.0.0.1:" + std::to_string(cluster.port);
  machine.variables["DEISA_RAY_ADDRESS"] = address;
  machine.variables["RAY_ADDRESS"] = "192.0.2.1:1";  // DEISA_RAY_ADDRESS goes first
  EXPECT_EQ(check_cluster(machine.places).level, Level::kGood);
  EXPECT_EQ(check_node(machine.places).level, Level::kNote) << "its processes are not to be seen";
  const std::string nul(1, '\0');
  machine.file("proc/77/cmdline", "/x/raylet" + nul + "--gcs-address=" + address + nul +
                                      "--node_ip_address=127.0.0.1" + nul);
  EXPECT_EQ(check_node(machine.places).level, Level::kGood);
}

}  // namespace
}  // namespace deisa
