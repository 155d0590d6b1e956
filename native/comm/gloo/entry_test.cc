// Who may come in: where the processes of a start listen, and what strangers can do to it.
#include <dirent.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/address.hpp"
#include "comm/gloo/testing/rank_process.hpp"
#include "comm/store_client.hpp"
#include "comm/store_host.hpp"

namespace deisa {
namespace {

using store::Encoder;
using store::Type;
using testing::Job;
using testing::Process;

Deadline soon() { return Deadline::after(20); }

// An address as /proc/net/tcp writes it: words of 32 bits in the machine's order, and the port.
std::string host_of(const std::string& hex) {
  Address address;
  const size_t digits = hex.find(':');
  unsigned words[4] = {};
  for (size_t i = 0; i < digits / 8; ++i) {
    words[i] = static_cast<unsigned>(std::stoul(hex.substr(8 * i, 8), nullptr, 16));
  }
  if (digits == 8) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, words, 4);
    address.length = sizeof(v4);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    v6.sin6_family = AF_INET6;
    std::memcpy(&v6.sin6_addr, words, 16);
    address.length = sizeof(v6);
  }
  address.set_port(std::stoi(hex.substr(digits + 1), nullptr, 16));
  return address.text();
}

// The addresses at which a process listens.
std::vector<std::string> listening(pid_t process) {
  std::vector<std::string> inodes;
  const std::string folder = "/proc/" + std::to_string(process) + "/fd/";
  if (DIR* entries = ::opendir(folder.c_str())) {
    while (const dirent* entry = ::readdir(entries)) {
      char target[64] = {};
      const ssize_t length =
          ::readlink((folder + entry->d_name).c_str(), target, sizeof(target) - 1);
      const std::string link(target, static_cast<size_t>(std::max<ssize_t>(length, 0)));
      if (link.rfind("socket:[", 0) == 0) inodes.push_back(link.substr(8, link.size() - 9));
    }
    ::closedir(entries);
  }
  std::vector<std::string> found;
  for (const char* name : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(name);
    std::string line;
    while (std::getline(file, line)) {
      std::istringstream fields(line);
      std::string number, local, remote, state, skipped, inode;
      fields >> number >> local >> remote >> state;
      for (int i = 0; i < 5; ++i) fields >> skipped;
      fields >> inode;
      if (state != "0A") continue;
      if (std::find(inodes.begin(), inodes.end(), inode) != inodes.end()) {
        found.push_back(host_of(local));
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

class Entry : public testing::GlooTest {
 protected:
  // Starts rank 0, and waits until it hosts.
  static std::unique_ptr<Process> start(const Job& job) {
    auto zero = job.rank(0);
    const Deadline deadline = soon();
    while (!deadline.expired()) {
      const auto host = find_host(job.address, job.port);
      if (host && count_ranks(host->attendance.came) == 1) return zero;
      std::this_thread::yield();
    }
    ADD_FAILURE() << "rank 0 does not host";
    return zero;
  }
  // Of this machine, towards addresses that are no one's.
  static std::string own_address(const char* outside) {
    const auto own = source_address(*parse_address(outside, 0));
    return own ? own->host() : "";
  }
  static FileDescriptor connect(const Job& job) {
    const auto address = parse_address(job.address, job.port);
    FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), address->get(), address->length), 0);
    return fd;
  }
  static std::string hello(int rank, int size, uint16_t version = store::kVersion) {
    return Encoder(Type::kHello)
        .raw(store::kMagic)
        .u16(version)
        .i32(rank)
        .i32(size)
        .i32(4711)
        .text("")
        .text("a stranger's node")
        .frame();
  }
  // Until rank 0 has closed the connection, having said what it says.
  static void read_to_the_end(const FileDescriptor& fd) {
    const timeval patience = {20, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    char bytes[4096];
    ssize_t got = 1;
    while (got > 0) got = ::recv(fd.get(), bytes, sizeof(bytes), 0);
    EXPECT_TRUE(got == 0 || errno == ECONNRESET) << "it is still let in";
  }
};

TEST_F(Entry, RankZeroListensAtTheAddressThatItWasGiven) {
  for (const std::string& host : {std::string("127.0.0.1"), std::string("127.0.0.3"),
                                  own_address("192.0.2.1"), own_address("2001:db8::1")}) {
    if (host.empty()) continue;  // no such network here
    Job job;
    job.size = 2;
    job.address = host;
    const auto zero = start(job);
    const auto address = parse_address(host, job.port);
    EXPECT_EQ(listening(zero->pid()), std::vector<std::string>{address->text()});
    const auto one = job.rank(1);
    for (const auto* rank : {&zero, &one}) EXPECT_EQ((*rank)->wait(), 0) << (*rank)->text();
  }
}

TEST_F(Entry, LocalhostIsThisMachineOnly) {
  Job job;
  job.size = 2;
  job.address = "localhost";
  const auto zero = start(job);
  const auto found = listening(zero->pid());
  EXPECT_FALSE(found.empty());
  for (const std::string& one : found) {
    EXPECT_TRUE(one == "127.0.0.1:" + std::to_string(job.port) ||
                one == "[::1]:" + std::to_string(job.port))
        << one;
  }
}

// Gloo listens from when all ranks have come until its connections are there.
TEST_F(Entry, GlooListensAtTheAddressOfTheStart) {
  Job job;
  job.size = 2;
  const std::string own = own_address("192.0.2.1");
  if (!own.empty()) job.address = own;
  job.nodes = {"a", "b"};
  const auto zero = start(job);
  StoreOptions options;
  options.rank = 1;
  options.size = 2;
  options.master_address = job.address;
  options.master_port = job.port;
  options.node = "another node";
  StoreClient one(options, soon());
  one.rendezvous(soon());
  std::vector<std::string> found;
  const Deadline deadline = soon();
  while (found.size() < 2 && !deadline.expired()) found = listening(zero->pid());
  ASSERT_EQ(found.size(), 2u);
  for (const std::string& address : found) {
    EXPECT_EQ(address.substr(0, address.rfind(':')), job.address);
  }
}

TEST_F(Entry, WithoutASecretAStrangersFrameNeitherEndsNorJoinsAStart) {
  const std::string whole = hello(1, 3);
  const std::pair<const char*, std::string> frames[] = {
      {"garbage", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
      {"another size", hello(1, 4)},
      {"a rank that cannot be", hello(3, 3)},
      {"a negative rank", hello(-1, 3)},
      {"a rank that came", hello(0, 3)},
      {"another version", hello(1, 3, store::kVersion + 1)},
  };
  for (const auto& [what, frame] : frames) {
    SCOPED_TRACE(what);
    Job job;
    job.size = 3;
    const auto zero = start(job);
    const FileDescriptor half = connect(job);
    const std::string part = whole.substr(0, whole.size() / 2);
    EXPECT_EQ(::send(half.get(), part.data(), part.size(), 0), static_cast<ssize_t>(part.size()));
    const FileDescriptor stranger = connect(job);
    EXPECT_EQ(::send(stranger.get(), frame.data(), frame.size(), 0),
              static_cast<ssize_t>(frame.size()));
    read_to_the_end(stranger);
    const auto host = find_host(job.address, job.port);
    ASSERT_TRUE(host);
    EXPECT_FALSE(host->failed);
    EXPECT_EQ(to_text(host->attendance.came), "0");
    const auto one = job.rank(1);
    const auto two = job.rank(2);
    for (const auto* rank : {&zero, &one, &two}) EXPECT_EQ((*rank)->wait(), 0) << (*rank)->text();
  }
}

}  // namespace
}  // namespace deisa
