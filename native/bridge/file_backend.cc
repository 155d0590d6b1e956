#include "bridge/file_backend.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/file_descriptor.hpp"
#include "bridge/npy.hpp"

namespace deisa {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kOwner = "deisa.json";

Error failed(const std::string& what, const std::string& path, int reason) {
  return Error(DEISA_ERROR_RESOURCE, "cannot " + what + " " + path + ": " + std::strerror(reason) +
                                         ". Is there room, and may this process write there? "
                                         "DEISA_FILE_FOLDER names another folder");
}

// An array's name as the name of a folder: what a shell or a path could misread becomes %XX.
std::string folder_name(const std::string& array) {
  std::string name;
  for (const char c : array) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || (c == '.' && !name.empty()) || byte >= 0x80;
    char text[8] = {c, '\0'};
    if (!plain) std::snprintf(text, sizeof(text), "%%%02X", byte);
    name += text;
  }
  return name;
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

}  // namespace

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
      arrays[name] = {{"folder", folder_name(name)}, {"shape", array.global_shape}};
  }
  const json owner = {
      {"session", plan.session}, {"ranks", plan.node_of.size()}, {"arrays", arrays}};
  std::ofstream file(fs::path(folder) / kOwner);
  file << owner.dump(1) << "\n";
  file.close();
  if (!file) throw failed("write to", (fs::path(folder) / kOwner).string(), errno);
}

FileBackend::FileBackend(const std::vector<ArrayMetadata>& arrays, int rank, std::string folder,
                         const Plan& plan)
    : NullBackend(arrays, rank), folder_(std::move(folder)) {
  std::ifstream file(fs::path(folder_) / kOwner);
  const json owner = json::parse(file, nullptr, false);
  if (!owner.is_object() || owner.value("session", "") != plan.session) {
    throw Error(DEISA_ERROR_RESOURCE,
                "file_folder = '" + folder_ + "' is on rank " + std::to_string(rank) +
                    " not the folder that rank 0 made: expected one that all ranks share; give its "
                    "whole path");
  }
  for (const ArrayMetadata& array : arrays) {
    Target target;
    if (array.name != kEndMarkerArray) {
      const Plan::Array& planned = plan.arrays.at(array.name);
      target.folder = (fs::path(folder_) / folder_name(array.name)).string();
      if (::mkdir(target.folder.c_str(), 0777) != 0 && errno != EEXIST) {
        throw failed("make the folder", target.folder, errno).at_array(array.name);
      }
      target.header = npy_header(array.layout.dtype, planned.global_shape);
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
      target.bytes = target.header.size() +
                     Layout::contiguous(array.layout.dtype, planned.global_shape).bytes();
    }
    targets_.push_back(std::move(target));
  }
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
  const std::string path = (fs::path(folder_) / "closed").string();
  std::ofstream file(path);
  file << std::to_string(timestep) << "\n";
  file.close();
  if (!file) throw failed("write to", path, errno);
}

}  // namespace deisa
