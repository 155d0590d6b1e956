#include "control/start_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "control/test_places.hpp"

namespace deisa {
namespace {

using testing::ElementsAre;
using testing::StartsWith;

TEST(CacheFolder, IsTheFirstThatIsNamed) {
  Machine machine;
  machine.variables = {{"HOME", machine.path("home")}};
  std::filesystem::create_directories(machine.path("home"));
  EXPECT_EQ(cache_folder(machine.places), machine.path("home/.cache/deisa"));
  machine.variables["XDG_CACHE_HOME"] = machine.path("xdg");
  EXPECT_EQ(cache_folder(machine.places), machine.path("xdg/deisa"));
  machine.variables["DEISA_CACHE"] = machine.path("own");
  EXPECT_EQ(cache_folder(machine.places), machine.path("own"));
  EXPECT_TRUE(std::filesystem::is_directory(machine.path("own")));
  EXPECT_EQ(cache_folder(machine.places), machine.path("own"));
}

TEST(CacheFolder, IsNoneWhenThatIsAsked) {
  Machine machine;
  machine.variables = {{"HOME", machine.path("home")}, {"DEISA_CACHE", "none"}};
  EXPECT_EQ(cache_folder(machine.places), "");
  EXPECT_FALSE(std::filesystem::exists(machine.path("home")));
}

TEST(CacheFolder, IsNoneWithoutAHome) {
  Machine machine;
  EXPECT_EQ(cache_folder(machine.places), "");
  machine.variables = {{"DEISA_CACHE", "relative/folder"}};
  EXPECT_EQ(cache_folder(machine.places), "");
  machine.file("file");
  machine.variables = {{"DEISA_CACHE", machine.path("file/below")}};
  EXPECT_EQ(cache_folder(machine.places), "");
}

TEST(CacheFolder, IsNoneInAHomeThatIsMissing) {
  Machine machine;
  machine.variables = {{"HOME", machine.path("home")}};
  EXPECT_EQ(cache_folder(machine.places), "");
  EXPECT_FALSE(std::filesystem::exists(machine.path("home")));
}

TEST(CacheFolder, IsThisUsersAloneWithItsParentsWhateverTheUmask) {
  Machine machine;
  machine.variables = {{"DEISA_CACHE", machine.path("a/b/c")}};
  const mode_t before = ::umask(0);
  const std::string folder = cache_folder(machine.places);
  ::umask(before);
  EXPECT_EQ(folder, machine.path("a/b/c"));
  for (const char* name : {"a", "a/b", "a/b/c"}) {
    struct stat status = {};
    ASSERT_EQ(::stat(machine.path(name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700u) << name;
  }
}

// What is in it is run.
TEST(CacheFolder, IsNoneWhenOthersMayWriteToIt) {
  Machine machine;
  const std::string folder = machine.path("shared");
  std::filesystem::create_directories(folder);
  machine.variables = {{"DEISA_CACHE", folder}};
  ::chmod(folder.c_str(), 0777);
  EXPECT_EQ(cache_folder(machine.places), "");
  ::chmod(folder.c_str(), 0755);
  EXPECT_EQ(cache_folder(machine.places), folder);
}

std::string archive_of(const std::string& jvm, const std::string& class_path,
                       const std::string& more = "-Xmx1m") {
  return class_archive("/cache", jvm, {"--class-path=" + class_path, more});
}

TEST(ClassArchive, HasANameForAllThatItDependsOn) {
  Machine machine;
  const std::string jvm = machine.java("jdk", "17.0.1");
  machine.file("jdk/lib/server/libjvm.so", "jvm");
  machine.file("jdk/lib/server/classes.jsa", "Java's own");
  const std::string a = machine.file("a.jar", "a"), b = machine.file("b.jar", "b");
  const std::string name = archive_of(jvm, a + ":" + b);
  EXPECT_THAT(name, StartsWith("/cache/classes-"));
  EXPECT_EQ(name, archive_of(jvm, a + ":" + b));
  EXPECT_NE(name, archive_of(jvm, b + ":" + a));
  EXPECT_NE(name, archive_of(machine.java("other", "17.0.1"), a + ":" + b));
  EXPECT_NE(name, archive_of(jvm, a + ":" + b, "-Xmx2m"));
  machine.file("b.jar", "another");
  EXPECT_NE(name, archive_of(jvm, a + ":" + b));
  machine.file("b.jar", "b");
  machine.file("jdk/lib/server/libjvm.so", "an update");
  EXPECT_NE(name, archive_of(jvm, a + ":" + b));
}

TEST(ClassArchive, DoesNotDependOnOtherProperties) {
  EXPECT_EQ(archive_of("/jvm", "/a.jar", "-Djna.tmpdir=/tmp/1"),
            archive_of("/jvm", "/a.jar", "-Djna.tmpdir=/tmp/2"));
}

TEST(ClassArchive, LeavesTheUsersOwnAlone) {
  for (const char* option : {"-XX:SharedArchiveFile=/x", "-Xshare:off", "-javaagent:/x.jar"}) {
    EXPECT_EQ(archive_of("/jvm", "/a.jar", option), "") << option;
  }
  EXPECT_EQ(class_archive("", "/jvm", {}), "");
}

TEST(ClassArchive, IsNotForAJavaWhoseOptionsAreNotKnown) {
  Machine machine;
  EXPECT_NE(archive_of(machine.java("a", "21.0.2"), "/a.jar"), "");
  EXPECT_EQ(archive_of(machine.java("b", "25"), "/a.jar"), "");
}

TEST(ClassArchive, IsUsedWhenItIsThereAndElseMade) {
  Machine machine;
  std::vector<std::string> options;
  const std::string archive = machine.path("x");
  const std::string made = use_class_archive(archive, options);
  EXPECT_THAT(made, StartsWith(archive));
  EXPECT_THAT(options, ElementsAre("-XX:+RecordDynamicDumpInfo", "-Ddeisa.archive=" + made));
  options.clear();
  std::ofstream(made) << "classes";
  ::chmod(made.c_str(), 0666);
  keep_class_archive(made);
  EXPECT_FALSE(std::filesystem::exists(made));
  const std::string there = machine.path("x-7.jsa");
  struct stat status = {};
  ASSERT_EQ(::stat(there.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(use_class_archive(archive, options), "");
  EXPECT_THAT(options, ElementsAre("-XX:SharedArchiveFile=" + there, "-XX:+VerifySharedSpaces"));
  options.clear();
  EXPECT_EQ(use_class_archive("", options), "");
  EXPECT_THAT(options, ElementsAre());
}

// The JVM would crash.
TEST(ClassArchive, IsMadeAgainWhenItIsCutShort) {
  Machine machine;
  std::vector<std::string> options;
  machine.file("x-7.jsa", "class");
  machine.file("x.unfinished.12", "cl");
  const std::string made = use_class_archive(machine.path("x"), options);
  EXPECT_THAT(options, ElementsAre("-XX:+RecordDynamicDumpInfo", "-Ddeisa.archive=" + made));
}

TEST(ClassArchive, IsNotKeptWhenJavaMadeNone) {
  Machine machine;
  std::vector<std::string> options;
  keep_class_archive(use_class_archive(machine.path("x"), options));
  EXPECT_TRUE(std::filesystem::is_empty(machine.path("")));
}

}  // namespace
}  // namespace deisa
