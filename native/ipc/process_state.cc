#include "ipc/process_state.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/file_descriptor.hpp"

namespace deisa {
namespace {

// The letter after the name in /proc/<process>/stat; 0 if it cannot be read, as when the process
// has ended. The name may contain anything, so that it is the last ')' that ends it.
char state_of(pid_t process) {
  const std::string path = "/proc/" + std::to_string(process) + "/stat";
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[512];
  const ssize_t length = file ? ::read(file.get(), text, sizeof(text) - 1) : -1;
  if (length <= 0) return 0;
  text[length] = '\0';
  const char* const end = std::strrchr(text, ')');
  return end != nullptr && end[1] == ' ' ? end[2] : '\0';
}

}  // namespace

pid_t peer_process(int socket) noexcept {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

std::string why_idle(pid_t process) {
  if (process <= 0) return "";
  const std::string who = "(process " + std::to_string(process) + ") ";
  const std::string where = " in /proc/" + std::to_string(process) + "/stat)";
  switch (state_of(process)) {
    case 'T':
      return who + "is stopped (state T" + where + ": let it go on with kill -CONT " +
             std::to_string(process);
    case 't':
      return who + "is held by a debugger (state t" + where;
    case 'D':
      return who + "waits for a disk or a file system (state D" + where;
    default:
      return "";
  }
}

}  // namespace deisa
