// Simulated ranks meet through Gloo: a process per node, a thread per rank. Prints one line of
// JSON: the seconds until the last rank has its communicator, those of a barrier, the CPU seconds of
// the thread of rank 0's store, and the bytes that went over TCP until then (-1 where it may not
// have a network of its own to count them in).
//
//   rendezvous NODES RANKS_PER_NODE block|cyclic
#include <arpa/inet.h>
#include <deisa/deisa_gloo.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr double kTimeout = 300;

struct Shared {
  std::atomic<int> failed;
  std::atomic<int> met;
  double barrier_seconds;
  double store_cpu;
};

struct Rank {
  Shared* shared;
  int rank;
  int size;
  int port;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A network of this program's own, where nobody else's bytes are counted. False: not permitted.
bool own_network() {
  if (::unshare(CLONE_NEWNET) != 0) return false;
  const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const bool up = fd >= 0 && ::ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  ::close(fd);
  // All nodes' ports are of this one machine, and the kernel looks for free ones the longer the
  // fewer there are.
  std::ofstream("/proc/sys/net/ipv4/ip_local_port_range") << "1024 65535";
  return up;
}

// Bytes that the loopback device has carried.
long long loopback_bytes() {
  std::ifstream file("/proc/net/dev");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.find("lo") == std::string::npos) continue;
    long long bytes = 0;
    std::istringstream(line.substr(colon + 1)) >> bytes;
    return bytes;
  }
  return 0;
}

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    std::perror("rendezvous: a free port");
    std::exit(1);
  }
  ::close(fd);
  return ntohs(address.sin_port);
}

void* run(void* given) {
  const Rank& self = *static_cast<Rank*>(given);
  deisa_communicator communicator;
  deisa_error error;
  if (deisa_gloo_open(self.rank, self.size, "127.0.0.1", self.port, kTimeout, &communicator,
                      &error) != DEISA_OK) {
    if (self.shared->failed++ == 0) std::fprintf(stderr, "rendezvous: %s\n", error.message);
    return nullptr;
  }
  ++self.shared->met;
  double seconds = 0;
  constexpr int kBarriers = 5;
  for (int i = 0; i <= kBarriers; ++i) {  // the first is not counted
    const double begin = now();
    if (communicator.barrier(communicator.self, kTimeout, &error) != DEISA_OK) {
      if (self.shared->failed++ == 0) std::fprintf(stderr, "rendezvous: %s\n", error.message);
      break;
    }
    if (i > 0) seconds += (now() - begin) / kBarriers;
  }
  if (self.rank == 0) self.shared->barrier_seconds = seconds;
  communicator.release(communicator.self);
  return nullptr;
}

// CPU seconds of this process's thread of that name, from when it is there until it ends.
double cpu_of_thread(const char* name) {
  const std::filesystem::path tasks = "/proc/self/task";
  std::filesystem::path found;
  for (const double end = now() + kTimeout; found.empty() && now() < end;) {
    std::error_code ended;
    for (const auto& task : std::filesystem::directory_iterator(tasks, ended)) {
      std::string comm;
      if (std::ifstream(task.path() / "comm") >> comm && comm == name) found = task.path();
    }
  }
  double seconds = 0;
  double nanoseconds = 0;
  while (std::ifstream(found / "schedstat") >> nanoseconds) {
    seconds = nanoseconds * 1e-9;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return seconds;
}

int run_node(Shared* shared, int node, int nodes, int per_node, bool cyclic, int port) {
  ::setenv("DEISA_GLOO_NODE", std::to_string(node).c_str(), 1);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  std::vector<Rank> ranks;
  for (int i = 0; i < per_node; ++i) {
    ranks.push_back(
        {shared, cyclic ? i * nodes + node : node * per_node + i, nodes * per_node, port});
  }
  std::thread watch;
  if (node == 0 && nodes * per_node > 1)
    watch = std::thread([&] { shared->store_cpu = cpu_of_thread("deisa-store"); });
  std::vector<pthread_t> threads(ranks.size());
  for (size_t i = 0; i < ranks.size(); ++i) {
    if (pthread_create(&threads[i], &small, run, &ranks[i]) != 0) {
      ++shared->failed;
      return 1;
    }
  }
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  if (watch.joinable()) watch.join();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int nodes = std::atoi(argv[1]), per_node = std::atoi(argv[2]);
  const bool cyclic = std::strcmp(argv[3], "cyclic") == 0;
  if (nodes < 1 || per_node < 1) return 2;
  rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto* shared = new (memory) Shared();
  const bool counts = own_network();
  const int port = free_port();
  const long long bytes = loopback_bytes();
  const double begin = now();
  std::vector<pid_t> children;
  for (int node = 0; node < nodes; ++node) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(run_node(shared, node, nodes, per_node, cyclic, port));
    if (child < 0) ++shared->failed;
    children.push_back(child);
  }
  while (shared->met < nodes * per_node && shared->failed == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const double met = now() - begin;
  const long long carried = counts ? loopback_bytes() - bytes : -1;
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  std::printf(
      "{\"nodes\": %d, \"per_node\": %d, \"seconds\": %.4f, \"barrier\": %.6f, \"store_cpu\": "
      "%.4f, "
      "\"bytes\": %lld}\n",
      nodes, per_node, met, shared->barrier_seconds, shared->store_cpu, carried);
  return shared->failed == 0 ? 0 : 1;
}
