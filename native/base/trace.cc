#include "base/trace.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/error.hpp"
#include "base/file_size.hpp"

namespace deisa {
namespace {

constexpr std::string_view kStart = "[\n";
constexpr std::string_view kNext = ",\n";
constexpr std::string_view kEnd = "\n]\n";

// What may wait in memory, when the file cannot be written.
constexpr size_t kMostBytes = size_t{16} << 20;
constexpr auto kPatience = std::chrono::seconds(1);
constexpr auto kNowAndThen = std::chrono::milliseconds(100);

// As the inside of a JSON string; UTF-8 stays as it is.
std::string escape(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) {
      escaped += c;
    } else {
      char code[8];
      std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned>(c));
      escaped += code;
    }
  }
  return escaped;
}

// Microseconds, as the format wants them; with nanoseconds behind the point.
std::string microseconds(std::chrono::nanoseconds time) {
  char text[40];
  const auto count = static_cast<long long>(time.count());
  std::snprintf(text, sizeof(text), "%lld.%03lld", count / 1000, count % 1000);
  return text;
}

bool lock(int file) {
  const auto end = Trace::Clock::now() + kPatience;
  while (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    if ((errno != EWOULDBLOCK && errno != EINTR) || Trace::Clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

}  // namespace

Trace::Trace(const std::string& file, const std::string& process)
    : name_(std::filesystem::absolute(file).string()),
      file_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  if (!file_) {
    throw Error(DEISA_ERROR_ARGUMENT, "the trace file \"" + file + "\" (DEISA_TRACE) cannot be " +
                                          "opened: " + std::strerror(errno));
  }
  events_ = R"({"name": "process_name", "ph": "M", "pid": )" + std::to_string(::getpid()) +
            R"(, "args": {"name": ")" + escape(process) + "\"}}";
}

Trace::~Trace() { flush(); }

void Trace::begin() noexcept {
  if (!lock(file_.get())) return;
  if (::ftruncate(file_.get(), 0) != 0) {
    // The earlier run's events stay, which does no harm.
  }
  ::flock(file_.get(), LOCK_UN);
}

void Trace::add(std::string_view name, int rank, std::string_view array, int64_t timestep,
                Clock::time_point begin, Clock::time_point end, int32_t row) noexcept {
  try {
    const int64_t thread = row != 0 ? row : ::syscall(SYS_gettid);
    std::string event = R"({"name": ")" + escape(name) + R"(", "cat": "deisa", "ph": "X", "ts": )" +
                        microseconds(begin.time_since_epoch()) + R"(, "dur": )" +
                        microseconds(end - begin) + R"(, "pid": )" + std::to_string(::getpid()) +
                        R"(, "tid": )" + std::to_string(thread) + R"(, "args": {"rank": )" +
                        std::to_string(rank) + R"(, "step": )" + std::to_string(timestep);
    if (!array.empty()) event += R"(, "array": ")" + escape(array) + "\"";
    event += "}}";
    const std::lock_guard<std::mutex> guard(mutex_);
    if (events_.size() > kMostBytes) return;
    if (!events_.empty()) events_ += kNext;
    events_ += event;
  } catch (const std::bad_alloc&) {
    // An event less.
  }
}

void Trace::flush() noexcept {
  const std::lock_guard<std::mutex> guard(mutex_);
  flushed_ = Clock::now();
  if (!events_.empty() && write(events_)) events_.clear();
}

void Trace::flush_now_and_then() noexcept {
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (Clock::now() - flushed_ < kNowAndThen) return;
  }
  flush();
}

bool Trace::write(const std::string& events) const noexcept {
  if (!lock(file_.get())) return false;
  bool written = false;
  struct stat status = {};
  try {
    if (::fstat(file_.get(), &status) == 0) {
      const auto end = static_cast<off_t>(kEnd.size());
      const bool is_new = status.st_size < end;
      std::string text(is_new ? kStart : kNext);
      text += events;
      text += kEnd;
      const off_t at = is_new ? 0 : status.st_size - end;
      // Beyond the limit of file sizes there is a signal.
      if (may_have_size(static_cast<uint64_t>(at) + text.size())) {
        written = ::pwrite(file_.get(), text.data(), text.size(), at) ==
                  static_cast<ssize_t>(text.size());
        // A disk that is full: the end of before has to come back.
        if (!written && ::ftruncate(file_.get(), at) == 0 && !is_new) {
          (void)!::pwrite(file_.get(), kEnd.data(), kEnd.size(), at);
        }
      }
    }
  } catch (const std::bad_alloc&) {
  }
  ::flock(file_.get(), LOCK_UN);
  return written;
}

}  // namespace deisa
