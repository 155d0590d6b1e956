// Calls LLVMFuzzerTestOneInput without libFuzzer: with each file of a folder, then with RUNS changed ones, always the
// same. The memory of the process must not grow from the first tenth of them on.
//
//   NAME_fuzz FOLDER RUNS [FILE]    FILE: where an input that ends the program is left
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "base/testing/fuzz.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

namespace {

using Bytes = std::vector<uint8_t>;

constexpr size_t kLongest = 4096;
constexpr int kMostSeconds = 10;         // of the processor, for one input
constexpr size_t kMostGrowth = 8 << 20;  // bytes

const char* g_left = "";
const Bytes* g_input = nullptr;

void leave_input(int signal) {
  static const char ended[] = "an input ended the program; it is left in ";
  const int file = ::open(g_left, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file >= 0 && g_input != nullptr) {
    (void)!::write(file, g_input->data(), g_input->size());
    (void)!::write(2, ended, sizeof(ended) - 1);
    (void)!::write(2, g_left, std::strlen(g_left));
    (void)!::write(2, "\n", 1);
  }
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void run(const Bytes& input) {
  g_input = &input;
  const itimerval limit = {{0, 0}, {kMostSeconds, 0}};
  ::setitimer(ITIMER_PROF, &limit, nullptr);
  LLVMFuzzerTestOneInput(input.data(), input.size());
  g_input = nullptr;
}

size_t resident_bytes() {
  size_t all = 0;
  size_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

std::vector<Bytes> read_all(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

class Changer {
 public:
  explicit Changer(const std::vector<Bytes>& from) : from_(from) {}

  Bytes next() {
    Bytes input = from_[below(from_.size())];
    for (size_t changes = 1 + below(6); changes > 0; --changes) change(input);
    if (input.size() > kLongest) input.resize(kLongest);
    return input;
  }

 private:
  // Not a distribution, whose results differ from library to library.
  size_t below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }

  void change(Bytes& input) {
    static constexpr uint64_t kEdges[] = {0,
                                          1,
                                          0x7f,
                                          0x80,
                                          0xff,
                                          0xffff,
                                          0x7fffffff,
                                          0x80000000,
                                          0xffffffff,
                                          0x7fffffffffffffff,
                                          0x8000000000000000,
                                          0xffffffffffffffff};
    const size_t at = below(input.size() + 1);
    const auto here = input.begin() + static_cast<ptrdiff_t>(at);
    const size_t left = input.size() - at;
    switch (below(6)) {
      case 0:
        if (left > 0) input[at] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:
        if (left > 0) input[at] = static_cast<uint8_t>(random_());
        break;
      case 2:
        input.erase(here, here + static_cast<ptrdiff_t>(below(std::min<size_t>(left, 16) + 1)));
        break;
      case 3: {
        const uint64_t edge = kEdges[below(std::size(kEdges))];
        std::memcpy(input.data() + at, &edge, std::min(left, size_t{1} << below(4)));
        break;
      }
      case 4: {  // a part of another one
        const Bytes& other = from_[below(from_.size())];
        const size_t first = below(other.size() + 1);
        const size_t count = below(std::min<size_t>(other.size() - first, 64) + 1);
        input.insert(here, other.begin() + static_cast<ptrdiff_t>(first),
                     other.begin() + static_cast<ptrdiff_t>(first + count));
        break;
      }
      default: {  // a part of itself again
        const Bytes copy(here,
                         here + static_cast<ptrdiff_t>(below(std::min<size_t>(left, 64) + 1)));
        input.insert(here, copy.begin(), copy.end());
      }
    }
  }

  const std::vector<Bytes>& from_;
  std::mt19937_64 random_{1};
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "usage: %s FOLDER RUNS [FILE]\n", arguments[0]);
    return 2;
  }
  if (count > 3) g_left = arguments[3];
  // On a stack of its own, for when the other one is full.
  static char stack[1 << 16];
  stack_t other = {};
  other.ss_sp = stack;
  other.ss_size = sizeof(stack);
  ::sigaltstack(&other, nullptr);
  struct sigaction leave = {};
  leave.sa_handler = leave_input;
  leave.sa_flags = SA_ONSTACK;
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGPROF}) {
    ::sigaction(signal, &leave, nullptr);
  }
  const std::vector<Bytes> seeds = read_all(arguments[1]);
  if (seeds.empty()) {
    std::fprintf(stderr, "%s: expected files\n", arguments[1]);
    return 2;
  }
  for (const Bytes& seed : seeds) run(seed);
  const unsigned long runs = std::strtoul(arguments[2], nullptr, 10);
  Changer changer(seeds);
  size_t early = 0;
  for (unsigned long i = 0; i < runs; ++i) {
    if (i == runs / 10) early = resident_bytes();
    run(changer.next());
  }
  const size_t late = resident_bytes();
  std::printf("%zu files, %lu changed inputs; memory %zu KiB after a tenth, %zu KiB at the end\n",
              seeds.size(), runs, early >> 10, late >> 10);
  if (!kSanitized && runs > 0 && late > early + kMostGrowth) {
    std::fprintf(stderr, "the memory grew by %zu KiB\n", (late - early) >> 10);
    return 1;
  }
  return 0;
}
