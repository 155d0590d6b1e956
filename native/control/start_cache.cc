#include "control/start_cache.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/file_descriptor.hpp"

namespace deisa {
namespace {

namespace fs = std::filesystem;

constexpr size_t kArchivesKept = 4;
constexpr int kNewestJava = 21;
constexpr const char* kPrefix = "classes-";
constexpr const char* kSuffix = ".jsa";
constexpr const char* kUnfinished = ".unfinished.";  // then what makes it unique

// Whether it is a folder that nobody else may write to: what is in it is run.
bool is_ours_alone(const fs::path& folder) {
  struct stat status = {};
  return ::stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         status.st_uid == ::geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0 &&
         ::access(folder.c_str(), W_OK) == 0;
}

// Makes a folder and its parents, for this user alone whatever the umask, but not a home: one that
// is missing is nobody's mistake to repair.
void make_folders(const fs::path& folder, const fs::path& home) {
  std::error_code ignored;
  if (folder.empty() || folder == home || fs::exists(folder, ignored)) return;
  if (folder.has_parent_path() && folder != folder.parent_path()) {
    make_folders(folder.parent_path(), home);
  }
  ::mkdir(folder.c_str(), 0700);
}

// FNV-1a, 64 bits.
uint64_t hash(const std::string& text, uint64_t value) {
  for (const char c : text) {
    value = (value ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  return (value ^ 0xffu) * 1099511628211u;
}

// The path of a file, with what changes when the file does.
std::string file_text(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return path;
  return path + " " + std::to_string(status.st_size) + " " + std::to_string(status.st_mtim.tv_sec) +
         "." + std::to_string(status.st_mtim.tv_nsec);
}

bool begins_with(const std::string& text, const std::string& prefix) {
  return text.compare(0, prefix.size(), prefix) == 0;
}

// The archive with this name whose size is the one that it had when it was made, or "": the JVM
// crashes on one that is cut short.
std::string find_whole(const std::string& archive) {
  const fs::path path(archive);
  const std::string begin = path.filename().string() + "-";
  std::error_code error;
  for (fs::directory_iterator entry(path.parent_path(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (begins_with(name, begin) &&
        name == begin + std::to_string(entry->file_size(ignored)) + kSuffix) {
      return entry->path().string();
    }
  }
  return "";
}

// Gives what was made its name, once it is on the disk.
bool finish(const std::string& unfinished, const std::string& archive) {
  const FileDescriptor file(::open(unfinished.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status = {};
  // Java makes it with the umask's mode; what is in it is run.
  if (!file || ::fchmod(file.get(), 0600) != 0 || ::fsync(file.get()) != 0 ||
      ::fstat(file.get(), &status) != 0)
    return false;
  if (!find_whole(archive).empty()) return false;  // another process was faster
  const std::string name = archive + "-" + std::to_string(status.st_size) + kSuffix;
  return ::rename(unfinished.c_str(), name.c_str()) == 0;
}

// Archives of other builds and versions, and those that were never finished, but for the newest
// few.
void remove_old(const fs::path& folder) {
  std::vector<std::pair<fs::file_time_type, fs::path>> archives;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (begins_with(entry->path().filename().string(), kPrefix)) {
      archives.emplace_back(entry->last_write_time(ignored), entry->path());
    }
  }
  std::sort(archives.rbegin(), archives.rend());
  for (size_t i = kArchivesKept; i < archives.size(); ++i) fs::remove(archives[i].second, error);
}

}  // namespace

std::string cache_folder(const Places& places) {
  fs::path folder;
  if (const auto given = places.variable("DEISA_CACHE")) {
    if (*given == "none") return "";
    folder = *given;
  } else if (const auto caches = places.variable("XDG_CACHE_HOME")) {
    folder = fs::path(*caches) / "deisa";
  } else if (const auto home = places.variable("HOME")) {
    folder = fs::path(*home) / ".cache" / "deisa";
  }
  if (!folder.is_absolute()) return "";
  make_folders(folder, fs::path(places.variable("HOME").value_or("")));
  return is_ours_alone(folder) ? folder.string() : "";
}

std::string class_archive(const std::string& folder, const std::string& java,
                          const std::vector<std::string>& options) {
  // Later versions may not know the options below, and would not start.
  if (folder.empty() || java_version(java) > kNewestJava) return "";
  const std::string class_path = "--class-path=";
  const fs::path home = fs::path(java).parent_path().parent_path();
  // It extends the one that comes with Java, which some installations leave out.
  std::error_code missing;
  if (!fs::is_regular_file(home / "lib" / "server" / "classes.jsa", missing)) return "";
  uint64_t key = hash(file_text(home / "lib" / "server" / "libjvm.so"), 14695981039346656037u);
  for (const std::string& option : options) {
    for (const char* theirs :
         {"-XX:SharedArchiveFile", "-XX:ArchiveClassesAtExit", "-Xshare:off", "-Xshare:dump",
          "-XX:Flags", "-javaagent", "-agent", "-XX:+AutoCreate"}) {
      if (begins_with(option, theirs)) return "";
    }
    if (!begins_with(option, class_path)) {
      // Not what differs between runs and says nothing about classes.
      if (!begins_with(option, "-D")) key = hash(option, key);
      continue;
    }
    for (size_t begin = class_path.size(); begin <= option.size();) {
      const size_t end = std::min(option.find(':', begin), option.size());
      key = hash(file_text(option.substr(begin, end - begin)), key);
      begin = end + 1;
    }
  }
  char name[64];
  std::snprintf(name, sizeof(name), "%s%016llx", kPrefix, static_cast<unsigned long long>(key));
  return (fs::path(folder) / name).string();
}

std::string use_class_archive(const std::string& archive, std::vector<std::string>& options) {
  if (archive.empty()) return "";
  if (const std::string whole = find_whole(archive); !whole.empty()) {
    options.push_back("-XX:SharedArchiveFile=" + whole);
    options.push_back("-XX:+VerifySharedSpaces");  // checksums
    return "";
  }
  static std::atomic<int> count{0};
  const std::string made =
      archive + kUnfinished + std::to_string(::getpid()) + "." + std::to_string(count++);
  options.push_back("-XX:+RecordDynamicDumpInfo");
  options.push_back("-Ddeisa.archive=" + made);
  return made;
}

void keep_class_archive(const std::string& made) noexcept {
  try {
    const std::string archive = made.substr(0, made.rfind(kUnfinished));
    // Whole or not at all: another process may start with it at any moment.
    if (finish(made, archive)) remove_old(fs::path(archive).parent_path());
  } catch (const std::exception&) {
    // Another time.
  }
  drop_class_archive(made);
}

void drop_class_archive(const std::string& made) noexcept {
  if (!made.empty()) ::unlink(made.c_str());
}

}  // namespace deisa
