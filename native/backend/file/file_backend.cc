#include "backend/file/file_backend.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "backend/file/npy.hpp"
#include "base/file_descriptor.hpp"
#include "base/file_size.hpp"
#include "base/shortage.hpp"
#include "comm/agreement.hpp"

namespace deisa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kOwner = "deisa.json";
constexpr const char* kClosed = "closed";

Error failed(const std::string& what, const std::string& path, int reason) {
  return Error(DEISA_ERROR_RESOURCE,
               "cannot " + what + " " + path + ": " + system_text(reason) +
                   (is_shortage(reason) ? ""
                                        : ". Is there room, and may this process "
                                          "write there? DEISA_FILE_FOLDER names "
                                          "another folder"));
}

// 64 bits that two names hardly share (FNV-1a), in hexadecimal.
std::string hash(const std::string& text) {
  uint64_t value = 0xcbf29ce484222325;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016" PRIx64, value);
  return digits;
}

std::string file_name(int64_t timestep) {
  char text[40];
  std::snprintf(text, sizeof(text), "%09lld.npy", static_cast<long long>(timestep));
  return text;
}

void write_at(const FileDescriptor& file, const void* data, size_t bytes, size_t offset,
              const std::string& path) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::pwrite(file.get(), from, bytes, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw failed("write to", path, done < 0 ? errno : ENOSPC);
    from += done;
    bytes -= static_cast<size_t>(done);
    offset += static_cast<size_t>(done);
  }
}

void write_text(const fs::path& path, const std::string& text) {
  require_size(text.size(), "the file " + path.string());
  std::ofstream file(path);
  file << text;
  file.close();
  if (!file) throw failed("write to", path.string(), errno);
}

// Which ranks have signed a list, such as "0, 2".
std::string signatures(const std::string& list) {
  std::ifstream file(list);
  std::string ranks;
  for (std::string line; std::getline(file, line);) ranks += (ranks.empty() ? "" : ", ") + line;
  return ranks;
}

}  // namespace

std::string array_folder(const std::string& array) {
  constexpr size_t kMost = 200;  // bytes; file systems allow 255
  std::string name;
  for (const char c : array) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || (c == '.' && !name.empty()) || byte >= 0x80;
    // The backend's own files.
    const bool taken = name.empty() && (array == kOwner || array == kClosed);
    char text[8] = {c, '\0'};
    if (!plain || taken) std::snprintf(text, sizeof(text), "%%%02X", byte);
    name += text;
  }
  if (name.size() <= kMost) return name;
  // What is cut is neither a %XX nor a character of several bytes; no short name has a "~".
  size_t end = kMost - 17;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80) --end;
  if (end >= 1 && name[end - 1] == '%') end -= 1;
  if (end >= 2 && name[end - 2] == '%') end -= 2;
  return name.substr(0, end) + "~" + hash(array);
}

void FileBackend::make_folder(const std::string& folder, const Plan& plan) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw failed("make the folder", folder, error.value());
  const bool empty = fs::is_empty(folder, error);
  if (error) throw failed("read the folder", folder, error.value());
  if (!empty) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "file_folder = '" + folder +
                    "': it holds something: expected a folder that is empty or not there yet. "
                    "Remove it, or name another one with DEISA_FILE_FOLDER");
  }
  json arrays = json::object();
  for (const auto& [name, array] : plan.arrays) {
    if (name != kEndMarkerArray)
      arrays[name] = {{"folder", array_folder(name)}, {"shape", array.global_shape}};
  }
  const json owner = {
      {"session", plan.session}, {"ranks", plan.node_of.size()}, {"arrays", arrays}};
  write_text(fs::path(folder) / kOwner, owner.dump(1) + "\n");
}

FileBackend::FileBackend(const std::vector<ArrayMetadata>& arrays, int rank, std::string folder,
                         const Plan& plan)
    : NullBackend(arrays, rank), folder_(std::move(folder)) {
  errno = 0;
  std::ifstream file(fs::path(folder_) / kOwner);
  if (!file && errno != 0 && errno != ENOENT) throw failed("read", folder_ + "/" + kOwner, errno);
  const json owner = json::parse(file, nullptr, false);
  if (!owner.is_object() || owner.value("session", "") != plan.session) {
    throw Error(DEISA_ERROR_RESOURCE,
                "file_folder = '" + folder_ + "' is on rank " + std::to_string(rank) +
                    " not the folder that rank 0 made: expected one that all ranks share; give its "
                    "whole path");
  }
  for (const auto& [name, array] : plan.arrays) {
    if (name != kEndMarkerArray) all_arrays_.push_back(name);
  }
  for (const ArrayMetadata& array : arrays) {
    Target target;
    if (array.name != kEndMarkerArray) {
      const Plan::Array& planned = plan.arrays.at(array.name);
      target.folder = (fs::path(folder_) / array_folder(array.name)).string();
      // Another rank may have made it.
      struct stat there{};
      int reason = ::mkdir(target.folder.c_str(), 0777) == 0 ? 0 : errno;
      if (reason == EEXIST && ::stat(target.folder.c_str(), &there) == 0) {
        reason = S_ISDIR(there.st_mode) ? 0 : ENOTDIR;
      }
      if (reason != 0) {
        throw failed("make the folder", target.folder, reason).at_array(array.name);
      }
      target.global_shape = planned.global_shape;
      target.chunks = 1;
      for (size_t d = 0; d < planned.extents.size(); ++d) {
        const std::vector<int64_t>& line = planned.extents[d];
        int64_t start = 0;
        for (int64_t before = 0; before < array.position[d]; ++before) {
          start += line[static_cast<size_t>(before)];
        }
        target.start.push_back(start);
        target.chunks *= line.size();
      }
      if (array.has_dtype()) fit(target, array.layout.dtype);
    }
    targets_.push_back(std::move(target));
  }
}

void FileBackend::fit(Target& target, deisa_dtype dtype) {
  target.header = npy_header(dtype, target.global_shape);
  target.bytes = target.header.size() + Layout::contiguous(dtype, target.global_shape).bytes();
}

void FileBackend::describe(uint32_t array, const Deadline&) {
  fit(targets_.at(array), arrays_[array].layout.dtype);
}

void FileBackend::take(uint32_t array, int64_t timestep, const void* data) {
  const Target& target = targets_.at(array);
  const std::string path = target.folder + "/" + file_name(timestep);
  write_part(target, arrays_[array], path + ".part", data);
  sign(target, path);
}

// Every rank writes the header and gives the file its size: the same for all, so in any order.
void FileBackend::write_part(const Target& target, const ArrayMetadata& array,
                             const std::string& path, const void* data) const {
  require_size(target.bytes, "the file " + path);
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  if (!file) throw failed("make", path, errno);
  write_at(file, target.header.data(), target.header.size(), 0, path);
  if (::ftruncate(file.get(), static_cast<off_t>(target.bytes)) != 0) {
    throw failed("enlarge", path, errno);
  }
  const std::vector<int64_t>& shape = array.layout.shape;
  const size_t element = dtype_size(array.layout.dtype);
  const size_t dimensions = shape.size();
  // A run: the dimensions from `inner` on, which lie together in the file.
  size_t inner = dimensions - 1;
  size_t run = static_cast<size_t>(shape[inner]) * element;
  while (inner > 0 && shape[inner] == target.global_shape[inner]) {
    --inner;
    run *= static_cast<size_t>(shape[inner]);
  }
  const char* from = static_cast<const char*>(data);
  std::vector<int64_t> index(inner, 0);  // of the run, in the chunk
  for (size_t done = 0; done < array.bytes; done += run) {
    int64_t at = 0;  // element, in the whole array
    for (size_t d = 0; d < dimensions; ++d) {
      at = at * target.global_shape[d] + target.start[d] + (d < inner ? index[d] : 0);
    }
    write_at(file, from + done, run, target.header.size() + static_cast<size_t>(at) * element,
             path);
    for (size_t d = inner; d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  const int closed = ::close(file.release());
  if (closed != 0) throw failed("write to", path, errno);
}

// Notes that this rank has written. Lines are appended whole, so the last rank finds all of them.
void FileBackend::sign(const Target& target, const std::string& path) const {
  const std::string list = path + ".ranks";
  const FileDescriptor file(::open(list.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  if (!file) throw failed("make", list, errno);
  const std::string line = std::to_string(rank_) + "\n";
  require_size(target.chunks * line.size(), "the file " + list);
  if (::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    throw failed("write to", list, errno);
  }
  size_t lines = 0;
  char buffer[4096];
  off_t offset = 0;
  while (true) {
    const ssize_t got = ::pread(file.get(), buffer, sizeof(buffer), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw failed("read", list, errno);
    if (got == 0) break;
    lines += static_cast<size_t>(std::count(buffer, buffer + got, '\n'));
    offset += got;
  }
  if (lines < target.chunks) return;
  // Two ranks may find the list complete: the second finds the work done.
  const std::string part = path + ".part";
  if (::rename(part.c_str(), path.c_str()) != 0 && errno != ENOENT) {
    throw failed("rename", part, errno);
  }
  ::unlink(list.c_str());
}

void FileBackend::end(int64_t timestep, const Deadline&) {
  write_text(fs::path(folder_) / kClosed, std::to_string(timestep) + "\n");
  refuse_what_is_incomplete();
}

void FileBackend::refuse_what_is_incomplete() const {
  const std::string part = ".part";
  size_t count = 0;
  std::string first, first_array;
  for (const std::string& array : all_arrays_) {
    std::error_code error;
    for (fs::directory_iterator entry(fs::path(folder_) / array_folder(array), error), none;
         !error && entry != none; entry.increment(error)) {
      const std::string name = entry->path().string();
      if (entry->path().extension() != part) continue;
      ++count;
      if (!first.empty() && name >= first) continue;
      first = name;
      first_array = array;
    }
    if (error) throw failed("read the folder of array '" + array + "',", folder_, error.value());
  }
  if (count == 0) return;
  const std::string ranks = signatures(first.substr(0, first.size() - part.size()) + ".ranks");
  throw Error(DEISA_ERROR_RESOURCE,
              std::to_string(count) + " file(s) are not complete, the first is " + first +
                  ", into which only rank(s) " + (ranks.empty() ? "none" : ranks) +
                  " have written: the others' sends failed, or they did not send. See their "
                  "errors; what ends in .npy is complete")
      .at_array(first_array);
}

void FileStarter::start(const Ranks& ranks, const Deadline& deadline,
                        std::unique_ptr<Backend>& backend) {
  agree(ranks.communicator, Ranks::longer(deadline), [&] {
    if (ranks.trace != nullptr && ranks.leads()) ranks.trace->begin();
    if (ranks.rank() == 0) FileBackend::make_folder(folder_, ranks.plan);
  });
  agree(ranks.communicator, Ranks::longer(deadline), [&] {
    backend = std::make_unique<FileBackend>(ranks.arrays, ranks.rank(), folder_, ranks.plan);
  });
}

}  // namespace deisa
