#include "control/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "base/error.hpp"
#include "base/shortage.hpp"

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 34)
#define DEISA_HAS_CLOSEFROM
#endif
#endif

namespace deisa {
namespace {

constexpr int kCheckMilliseconds = 500;  // a copy of the child may hold its end of the socket open
constexpr double kEndSeconds = 1;
constexpr int kReadsAtOnce = 64;  // it may print faster than one reads
constexpr size_t kLinesKept = 40, kBytesKept = 8192;
// Of the child: standard input, output and error. Everything from here on is closed in it.
constexpr int kFirstClosed = 3;

// Of an errno.
std::string reason(int number) {
  const std::string text = system_text(number);
  if (number != EAGAIN) return text;
  return text + ": raise the limit of processes (ulimit -u, or the container's)";
}

[[noreturn]] void fail(const std::string& what, int number) {
  throw Error(DEISA_ERROR_CONNECTION, what + ": " + reason(number));
}

// Above the standard descriptors, which a program may have closed: in the child they are taken.
FileDescriptor move_up(FileDescriptor file) {
  if (file.get() >= kFirstClosed) return file;
  return FileDescriptor(::fcntl(file.get(), F_DUPFD_CLOEXEC, kFirstClosed));
}

struct Pair {
  FileDescriptor ours, theirs;
};

Pair make_socket() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    fail("no socket for the control process", errno);
  }
  return {move_up(FileDescriptor(ends[0])), move_up(FileDescriptor(ends[1]))};
}

Pair make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("no pipe for the control process", errno);
  Pair pair{move_up(FileDescriptor(ends[0])), move_up(FileDescriptor(ends[1]))};
  ::fcntl(pair.ours.get(), F_SETFL, O_NONBLOCK);
  return pair;
}

#ifndef DEISA_HAS_CLOSEFROM
// What is open now is closed by hand; what is opened meanwhile is close-on-exec or none of ours.
void close_from(posix_spawn_file_actions_t* actions, int first) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc/self/fd", error), end;
       !error && entry != end; entry.increment(error)) {
    const int number = std::atoi(entry->path().filename().c_str());
    if (number >= first) ::posix_spawn_file_actions_addclose(actions, number);
  }
}
#endif

// 0, or why it failed. posix_spawn, and not fork: no handler of fork runs, no memory is copied.
int spawn(const Child::Command& command, int input, int output, pid_t* pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (const int failed = ::posix_spawn_file_actions_init(&actions)) return failed;
  if (const int failed = ::posix_spawnattr_init(&attributes)) {
    ::posix_spawn_file_actions_destroy(&actions);
    return failed;
  }
  ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
#ifdef DEISA_HAS_CLOSEFROM
  ::posix_spawn_file_actions_addclosefrom_np(&actions, kFirstClosed);
#else
  close_from(&actions, kFirstClosed);
#endif
  // The program's own may have been deleted, or hold modules that Python would take for its own.
  ::posix_spawn_file_actions_addchdir_np(&actions, "/");
  sigset_t all, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes,
      static_cast<short>(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP));
  std::vector<char*> arguments = pointers(command.arguments);
  std::vector<char*> environment = pointers(command.environment);
  const int failed = ::posix_spawn(pid, arguments.front(), &actions, &attributes, arguments.data(),
                                   environment.data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  return failed;
}

std::string signal_name(int number) {
#ifdef DEISA_HAS_CLOSEFROM  // and this is older
  if (const char* name = ::sigabbrev_np(number)) return std::string("SIG") + name;
#endif
  return ::strsignal(number);
}

std::string how_ended(int status) {
  if (WIFEXITED(status)) return "exited with status " + std::to_string(WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  return "was killed by signal " + std::to_string(number) + " (" + signal_name(number) + ")";
}

}  // namespace

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

Child::Child(const Command& command) {
  if (!command.log.empty()) {
    const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK;  // of a pipe
    log_ = FileDescriptor(::open(command.log.c_str(), flags, 0666));
    if (!log_) {
      throw Error(DEISA_ERROR_ARGUMENT,
                  "DEISA_CONTROL_LOG: " + command.log + " cannot be written: " + reason(errno));
    }
  }
  Pair socket = make_socket(), pipe = make_pipe();
  if (!socket.ours || !socket.theirs || !pipe.ours || !pipe.theirs) {
    fail("no descriptors for the control process", errno);
  }
  if (const int failed = spawn(command, socket.theirs.get(), pipe.theirs.get(), &pid_)) {
    pid_ = -1;
    fail(command.arguments.front() + " cannot be started", failed);
  }
  socket_ = std::move(socket.ours);
  output_ = std::move(pipe.ours);
}

Child::~Child() {
  if (is_ours()) end(false);
}

bool Child::is_ours() const noexcept { return pid_ > 0 && owner_.is_this(); }

bool Child::take_line(std::string* line) {
  const size_t end = received_.find('\n', searched_);
  searched_ = received_.size();
  if (end == std::string::npos) return false;
  *line = received_.substr(0, end);
  received_.erase(0, end + 1);
  searched_ = 0;
  return true;
}

// Takes what has arrived. False: nothing more will come.
bool Child::receive() {
  char buffer[1 << 16];
  const ssize_t count = ::recv(socket_.get(), buffer, sizeof(buffer), MSG_DONTWAIT);
  if (count > 0) received_.append(buffer, static_cast<size_t>(count));
  return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

void Child::log(const char* text, size_t size) {
  struct stat status = {};
  rlimit limit = {};
  // Beyond the limit there is a signal.
  const bool fits = ::fstat(log_.get(), &status) == 0 && ::getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                    (limit.rlim_cur == RLIM_INFINITY ||
                     static_cast<rlim_t>(status.st_size) + size <= limit.rlim_cur);
  if (!fits || (::write(log_.get(), text, size) < 0 && errno != EAGAIN)) log_.reset();
}

void Child::read_output() {
  char buffer[4096];
  for (int i = 0; i < kReadsAtOnce && output_; ++i) {
    const ssize_t count = ::read(output_.get(), buffer, sizeof(buffer));
    if (count > 0) {
      const auto size = static_cast<size_t>(count);
      if (log_) log(buffer, size);
      printed_.append(buffer, size);
      if (printed_.size() > 2 * kBytesKept) printed_.erase(0, printed_.size() - kBytesKept);
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      output_.reset();
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

Child::Result Child::ask(const std::string& text, const Deadline& deadline, std::string* line) {
  size_t written = 0;
  bool open = socket_.get() >= 0 && how_.empty();
  for (;;) {
    if (take_line(line)) return Result::kLine;
    if (received_.size() > kLongest) {
      *line = received_.substr(0, 200);
      return Result::kTooLong;
    }
    if (!open) {
      read_output();
      *line = received_;
      return Result::kEnded;
    }
    if (deadline.expired()) return Result::kLate;
    const bool writes = written < text.size();
    pollfd waits[] = {
        {socket_.get(), static_cast<short>(POLLIN | (writes ? POLLOUT : 0)), 0},
        {output_.get(), POLLIN, 0},  // not looked at once it is -1
    };
    const int ready = ::poll(waits, 2, deadline.poll_timeout(kCheckMilliseconds));
    if (ready < 0 && errno != EINTR) fail("waiting for the control process", errno);
    if (ready > 0 && waits[1].revents != 0) read_output();
    if (ready > 0 && (waits[0].revents & POLLOUT) != 0) {
      const ssize_t count = ::send(socket_.get(), text.data() + written, text.size() - written,
                                   MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count > 0) written += static_cast<size_t>(count);
      if (count < 0 && errno != EAGAIN && errno != EINTR) written = text.size();  // it has ended
    }
    if (ready > 0 && (waits[0].revents & ~POLLOUT) != 0) {
      open = receive();
    } else if (ready == 0 && state() != State::kRuns) {
      receive();
      open = false;
    }
  }
}

// Without taking its status. Another part of the program may take it, or have the system drop it.
Child::State Child::state() const noexcept {
  siginfo_t info = {};
  const int flags = WEXITED | WNOHANG | WNOWAIT;
  if (::waitid(P_PID, static_cast<id_t>(pid_), &info, flags) != 0) return State::kGone;
  return info.si_pid == pid_ ? State::kEnded : State::kRuns;
}

// As by SIGSTOP.
bool Child::is_stopped() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
  std::string text;
  std::getline(file, text);
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text.size()) return false;
  return text[name_end + 2] == 'T' || text[name_end + 2] == 't';
}

// Waits until it is no longer running.
bool Child::wait(const Deadline& deadline) const noexcept {
  for (auto pause = std::chrono::microseconds(200); state() == State::kRuns; pause *= 2) {
    if (deadline.expired()) return false;
    pause = std::min(pause, std::chrono::microseconds(10000));
    std::this_thread::sleep_for(pause);
  }
  return true;
}

const std::string& Child::end(bool ending) noexcept {
  if (!how_.empty()) return how_;
  const bool stopped = is_stopped();
  const bool by_itself = ending && wait(Deadline::after(kEndSeconds));
  // Also what it has started. As long as its status is not taken, its number is nobody else's.
  if (state() != State::kGone) ::kill(-pid_, SIGKILL);
  const bool ended = wait(Deadline::after(kEndSeconds));
  int status = 0;
  if (!ended) {
    how_ = "cannot be killed";
  } else if (::waitpid(pid_, &status, WNOHANG) == pid_) {
    how_ = how_ended(status);
  } else {
    how_ = "has ended (the program itself took its exit status)";
  }
  if (!by_itself) {
    how_ = stopped  ? "is stopped, as by SIGSTOP"
           : ending ? "closed its connection without ending"
                    : how_;
  }
  socket_.reset();
  read_output();
  return how_;
}

std::string Child::last_lines() {
  read_output();
  std::string text = printed_.substr(printed_.size() - std::min(printed_.size(), kBytesKept));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  size_t at = text.size();
  for (size_t lines = 0; lines < kLinesKept && at != std::string::npos && at > 0; ++lines) {
    at = text.rfind('\n', at - 1);
  }
  return at == std::string::npos || at == 0 ? text : text.substr(at + 1);
}

}  // namespace deisa
