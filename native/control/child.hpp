// A child process that one speaks with in lines, over a socket that is its standard input. It has
// nothing else of this process: default signals, no other descriptor, its own process group, the
// working directory "/". What it prints is read and its end is kept.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/deadline.hpp"
#include "base/file_descriptor.hpp"
#include "base/fork.hpp"

namespace deisa {

// The texts as exec takes them, with a null pointer at the end; the memory remains theirs.
std::vector<char*> pointers(const std::vector<std::string>& texts);

class Child {
 public:
  struct Command {
    std::vector<std::string> arguments;    // the first is the path of the program
    std::vector<std::string> environment;  // "NAME=value"
    std::string log;                       // file that gets what it prints, too; "": none
  };

  // Throws Error(DEISA_ERROR_CONNECTION) with the system's reason when it cannot be started,
  // DEISA_ERROR_ARGUMENT when the log cannot be written.
  explicit Child(const Command& command);
  // Kills it. Does nothing in a copy of this process, made by fork.
  ~Child();
  // Whether this is the process that started it, and not a copy.
  bool is_ours() const noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  enum class Result {
    kLine,     // `line` is what it said, without the end of the line
    kEnded,    // it has closed its end; `line` is what it had begun to say
    kTooLong,  // it said more than kLongest without an end of line; `line` is its beginning
    kLate,     // the deadline has passed
  };
  // Writes `text` and waits for one line.
  Result ask(const std::string& text, const Deadline& deadline, std::string* line);

  // Kills it, after a moment in which it may end by itself if `ending`. Returns what it has done,
  // for "the process ...": "exited with status 1". Further calls return the same.
  const std::string& end(bool ending) noexcept;

  pid_t id() const noexcept { return pid_; }
  // The last lines that it printed, of which there are at most 40, and 8 KiB.
  std::string last_lines();

  static constexpr size_t kLongest = size_t{1} << 20;

 private:
  bool take_line(std::string* line);
  bool receive();
  void read_output();
  void log(const char* text, size_t size);
  enum class State { kRuns, kEnded, kGone };  // kGone: nobody can ask for its status any more
  State state() const noexcept;
  bool wait(const Deadline& deadline) const noexcept;
  bool is_stopped() const;

  OwnProcess owner_;
  pid_t pid_ = -1;
  FileDescriptor socket_, output_, log_;
  std::string received_;
  size_t searched_ = 0;  // of received_, for the end of a line
  std::string printed_;  // its end
  std::string how_;      // "" as long as it has not been ended
};

}  // namespace deisa
