// One rank of gloo_test, in a process of its own:
//   gloo_rank RANK SIZE ADDRESS PORT TIMEOUT SCENARIO
// Prints what went wrong, if anything. Exit code 0 means that all went as the scenario says.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "comm/communicator.hpp"

namespace {

using deisa::Communicator;
using deisa::Deadline;

int problem(const std::string& text) {
  std::printf("PROBLEM %s\n", text.c_str());
  return 2;
}

int exchange(Communicator& communicator, double timeout) {
  const int rank = communicator.rank();
  const int size = communicator.size();
  for (int root = 0; root < size; ++root) {
    communicator.barrier(Deadline::after(timeout));
    // Different sizes, one of them large.
    const auto text = [&](int of) {
      return std::string(of == 1 ? 3000000 : static_cast<size_t>(of) * 10,
                         static_cast<char>('a' + of));
    };
    const auto all = communicator.gather(text(rank), root, Deadline::after(timeout));
    if (rank == root) {
      if (static_cast<int>(all.size()) != size) return problem("gather: wrong number of strings");
      for (int of = 0; of < size; ++of) {
        if (all[static_cast<size_t>(of)] != text(of)) return problem("gather: wrong string");
      }
    } else if (!all.empty()) {
      return problem("gather: strings elsewhere than on root");
    }
    if (communicator.broadcast(text(rank), root, Deadline::after(timeout)) != text(root)) {
      return problem("broadcast: wrong string");
    }
  }
  return 0;
}

// The child lives on until its input ends: it must not hide this process's death from the others.
void die_with_a_child() {
  if (::fork() == 0) {
    ::close(STDOUT_FILENO);
    ::close(STDERR_FILENO);
    std::fgetc(stdin);
    ::_exit(0);
  }
  std::raise(SIGKILL);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return problem("six arguments are needed");
  const int rank = std::atoi(argv[1]);
  const double timeout = std::atof(argv[5]);
  const std::string scenario = argv[6];
  try {
    const auto communicator = Communicator::gloo(
        {rank, std::atoi(argv[2]), argv[3], std::atoi(argv[4])}, Deadline::after(timeout));
    if (scenario == "exchange") return exchange(*communicator, timeout);
    // The last rank does not take part in the second barrier.
    communicator->barrier(Deadline::after(timeout));
    // In "late" another rank comes only when the others have given up and gone.
    if (scenario == "late" && rank == communicator->size() - 2) std::fgetc(stdin);
    if (rank == communicator->size() - 1) {
      if (scenario == "dies" || scenario == "late") die_with_a_child();
      if (scenario == "absent") {
        // Until the others have given up, so that they see silence and not the end of this process.
        std::fgetc(stdin);
        return 0;
      }
    }
    if (scenario == "mismatch" && rank == 0) {
      communicator->broadcast("not a barrier", 0, Deadline::after(2));
    } else {
      const bool dies = scenario == "dies" || scenario == "late";
      communicator->barrier(Deadline::after(dies ? timeout : 2));
    }
  } catch (const deisa::Error& error) {
    std::printf("ERROR %d rank=%d %s\n", error.status(), error.rank(), error.what());
    return 1;
  }
  return 0;
}
