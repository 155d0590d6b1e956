#include "ipc/listener.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/shortage.hpp"
#include "ipc/packet.hpp"

namespace deisa {
namespace {

// Held while a socket file is looked at, replaced or removed, so that two processes that start at
// once do not remove each other's. It is a lock on the directory and leaves no file.
FileDescriptor lock_directory(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                                           : path.substr(0, slash);
  FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "the socket directory " + directory + " cannot be opened: " + std::strerror(errno));
  }
  const Deadline deadline = Deadline::after(10);
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) break;  // no locks on this file system: go on
    if (deadline.expired()) {
      throw Error(DEISA_ERROR_TIMEOUT, "another process holds a lock on " + directory);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return fd;
}

// Removes a socket file that nobody listens at; throws if there is something else.
void remove_stale(const std::string& path, const UnixAddress& address) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) return;
  if (!S_ISSOCK(status.st_mode)) {
    throw Error(DEISA_ERROR_ARGUMENT, path +
                                          " exists and is not a socket: remove it, or choose "
                                          "another path");
  }
  const FileDescriptor probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) {
    throw Error(DEISA_ERROR_RESOURCE, "cannot make a socket: " + system_text(errno));
  }
  const int connected =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length);
  if (connected == 0 || errno != ECONNREFUSED) {
    throw Error(DEISA_ERROR_CONNECTION, "another process listens at " + path +
                                            ": is a node actor of this node still running?");
  }
  ::unlink(path.c_str());
}

}  // namespace

Listener::Listener(const std::string& path) : path_(path) {
  const UnixAddress address(path);
  const FileDescriptor lock = lock_directory(path);
  remove_stale(path, address);
  FileDescriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // On Linux the file gets the mode of the socket, so there is no moment when others can connect.
  if (!fd || ::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) {
    throw Error(DEISA_ERROR_RESOURCE, "cannot make a socket: " + system_text(errno));
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(address.bytes), address.length) != 0) {
    throw Error(DEISA_ERROR_CONNECTION,
                "cannot make the socket file " + path + ": " + std::strerror(errno));
  }
  struct stat status = {};
  if (::listen(fd.get(), 4096) != 0 || ::lstat(path.c_str(), &status) != 0) {
    const int code = errno;
    ::unlink(path.c_str());
    throw Error(DEISA_ERROR_CONNECTION, "cannot listen at " + path + ": " + std::strerror(code));
  }
  device_ = status.st_dev;
  inode_ = status.st_ino;
  fd_ = std::move(fd);
}

void Listener::close() noexcept {
  if (!fd_) return;
  try {
    const FileDescriptor lock = lock_directory(path_);
    struct stat status = {};
    if (::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_) {
      ::unlink(path_.c_str());
    }
  } catch (const std::exception&) {
    // The directory is gone or locked: a stale file is replaced by the next one that starts.
  }
  fd_.reset();
}

}  // namespace deisa
