// Simulated ranks of one node register with a real node actor: threads with a bridge each, and a
// communicator over memory. Prints one line of JSON: the seconds of deisa_ready, and of a timestep
// in which each rank sends 8 bytes and waits until the timestep is announced.
//
//   registration RANKS ARRAYS STEPS
#include <deisa/deisa.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// What the threads share; each collective call passes through it twice.
class Meeting {
 public:
  explicit Meeting(int size) : size_(size), parts_(static_cast<size_t>(size)) {}

  bool pass(double timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    const uint64_t turn = turn_;
    if (++here_ == size_) {
      here_ = 0;
      ++turn_;
      changed_.notify_all();
      return true;
    }
    return changed_.wait_for(lock, std::chrono::duration<double>(timeout),
                             [&] { return turn_ != turn; });
  }
  int size() const { return size_; }
  std::vector<const void*>& parts() { return parts_; }

 private:
  const int size_;
  int here_ = 0;
  uint64_t turn_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<const void*> parts_;
};

struct Member {
  Meeting* meeting;
  int rank;
};

deisa_status late(deisa_error* error) {
  if (error != nullptr) {
    *error = deisa_error{};
    error->status = DEISA_ERROR_TIMEOUT;
    std::strcpy(error->message, "a simulated rank did not come");
  }
  return DEISA_ERROR_TIMEOUT;
}

deisa_status barrier(void* self, double timeout, deisa_error* error) {
  return static_cast<Member*>(self)->meeting->pass(timeout) ? DEISA_OK : late(error);
}

deisa_status gather(void* self, const void* sent, size_t bytes, void* received, int32_t root,
                    double timeout, deisa_error* error) {
  const Member& member = *static_cast<Member*>(self);
  Meeting& meeting = *member.meeting;
  meeting.parts()[static_cast<size_t>(member.rank)] = sent;
  if (!meeting.pass(timeout)) return late(error);
  if (member.rank == root) {
    for (size_t i = 0; i < meeting.parts().size(); ++i) {
      std::memcpy(static_cast<char*>(received) + i * bytes, meeting.parts()[i], bytes);
    }
  }
  return meeting.pass(timeout) ? DEISA_OK : late(error);
}

deisa_status broadcast(void* self, void* data, size_t bytes, int32_t root, double timeout,
                       deisa_error* error) {
  const Member& member = *static_cast<Member*>(self);
  Meeting& meeting = *member.meeting;
  meeting.parts()[static_cast<size_t>(member.rank)] = data;
  if (!meeting.pass(timeout)) return late(error);
  if (member.rank != root) std::memcpy(data, meeting.parts()[static_cast<size_t>(root)], bytes);
  return meeting.pass(timeout) ? DEISA_OK : late(error);
}

void check(deisa_status status, const deisa_error& error) {
  if (status == DEISA_OK) return;
  std::fprintf(stderr, "registration: rank %d: %s\n", error.rank, error.message);
  std::_Exit(1);
}

struct Times {
  double ready = 0;
  double step = 0;
};

void run(Meeting& meeting, int rank, int arrays, int steps, Times& times) {
  Member member{&meeting, rank};
  deisa_communicator communicator = {};
  communicator.struct_size = sizeof(communicator);
  communicator.self = &member;
  communicator.rank = [](void* self) {
    return static_cast<int32_t>(static_cast<Member*>(self)->rank);
  };
  communicator.size = [](void* self) {
    return static_cast<int32_t>(static_cast<Member*>(self)->meeting->size());
  };
  communicator.barrier = barrier;
  communicator.gather = gather;
  communicator.broadcast = broadcast;
  communicator.release = [](void*) {};
  deisa_error error;
  deisa_options options = DEISA_OPTIONS_INIT;
  options.error_mode = DEISA_ERRORS_RETURN;
  options.acknowledge = DEISA_ACK_ANNOUNCED;
  options.communicator = &communicator;
  deisa_bridge* bridge = nullptr;
  check(deisa_open(&options, &bridge, &error), error);
  const int64_t shape[1] = {1}, chunks[1] = {meeting.size()}, position[1] = {rank};
  deisa_layout layout = DEISA_LAYOUT_INIT;
  layout.ndim = 1;
  layout.chunk_shape = shape;
  layout.nb_chunks_per_dim = chunks;
  layout.chunk_position = position;
  const auto name = [](int array) {
    return array == 0 ? "field" : "field" + std::to_string(array);
  };
  for (int array = 0; array < arrays; ++array) {
    check(deisa_define(bridge, name(array).c_str(), &layout, &error), error);
  }
  const double begin = now();
  check(deisa_ready(bridge, &error), error);
  times.ready = now() - begin;
  double stepped = 0;
  for (int step = 0; step < steps; ++step) {
    if (step == 1) stepped = now();  // the first is not counted
    const double value = 1000.0 * step + rank;
    check(deisa_begin_step(bridge, step, &error), error);
    for (int array = 0; array < arrays; ++array) {
      check(deisa_put(bridge, name(array).c_str(), &value, &error), error);
    }
    check(deisa_end_step(bridge, nullptr, &error), error);
  }
  if (steps > 1) times.step = (now() - stepped) / (steps - 1);
  check(deisa_close(&bridge, steps, &error), error);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int ranks = std::atoi(argv[1]), arrays = std::atoi(argv[2]), steps = std::atoi(argv[3]);
  if (ranks < 1 || arrays < 1 || steps < 2) return 2;
  Meeting meeting(ranks);
  std::vector<Times> times(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back(
        [&, rank] { run(meeting, rank, arrays, steps, times[static_cast<size_t>(rank)]); });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf("{\"ranks\": %d, \"arrays\": %d, \"ready\": %.4f, \"step\": %.6f}\n", ranks, arrays,
              times[0].ready, times[0].step);
  return 0;
}
