#include "comm/gloo/mesh_exchange.hpp"

#include <gloo/transport/unbound_buffer.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/shortage.hpp"
#include "base/while_waiting.hpp"
#include "comm/rank_ranges.hpp"

namespace deisa {
namespace {

// No collective has this tag: see GlooCommunicator::tag.
constexpr uint64_t kLastWords = ~uint64_t{0};
constexpr double kTellTimeout = 1.0;

Error late(const std::string& what, const std::string& ranks) {
  return Error(DEISA_ERROR_TIMEOUT,
               "timed out in the " + what + ", waiting for rank(s) " + ranks +
                   ": crashed, blocked, behind in the simulation, or themselves waiting for "
                   "another rank (see their output)");
}

}  // namespace

MeshExchange::MeshExchange(std::unique_ptr<Mesh> mesh, std::vector<int> world_ranks)
    : mesh_(std::move(mesh)),
      world_ranks_(std::move(world_ranks)),
      words_(world_ranks_.size()),
      listening_(world_ranks_.size()) {
  for (int member = 0; member < size(); ++member) {
    if (member == rank()) continue;
    const auto at = static_cast<size_t>(member);
    listening_[at] = mesh_->buffer(&words_[at], sizeof(LastWords));
    listening_[at]->recv(member, kLastWords);
  }
}

void MeshExchange::tell_failure(const Error& error) noexcept {
  if (told_) return;
  told_ = true;
  try {
    LastWords words = {error.status(), ""};
    std::strncpy(words.text, error.what(), sizeof(words.text) - 1);
    std::vector<Buffer> sends;
    for (int member = 0; member < size(); ++member) {
      if (member == rank()) continue;
      try {
        Buffer buffer = mesh_->buffer(&words, sizeof(words));
        buffer->send(member, kLastWords);
        sends.push_back(std::move(buffer));
      } catch (const std::exception&) {
        // This one has gone.
      }
    }
    const Deadline deadline = Deadline::after(kTellTimeout);
    for (const Buffer& buffer : sends) {
      try {
        // Zero would be no time-out.
        buffer->waitSend(std::max(gloo_timeout(deadline), std::chrono::milliseconds(1)));
      } catch (const std::exception&) {
      }
    }
  } catch (...) {
    // Out of memory: the others see the connection end.
  }
}

// Gloo's thread writes what is looked at here.
bool MeshExchange::has_last_words() const {
  return std::any_of(words_.begin(), words_.end(), [](const LastWords& one) {
    return __atomic_load_n(&one.status, __ATOMIC_ACQUIRE) != 0;
  });
}

void MeshExchange::throw_last_words() {
  if (!has_last_words()) return;
  for (size_t member = 0; member < words_.size(); ++member) {
    LastWords& words = words_[member];
    if (__atomic_load_n(&words.status, __ATOMIC_ACQUIRE) == 0) continue;
    if (!told_) listening_[member]->waitRecv(std::chrono::seconds(1));  // until all of it is there
    told_ = true;
    words.text[sizeof(words.text) - 1] = '\0';
    throw Error(static_cast<deisa_status>(words.status), words.text);
  }
}

void MeshExchange::fail(const std::string& what, int member, const Deadline& deadline,
                        const std::exception& reason) {
  throw_last_words();
  if (deadline.expired()) throw late(what, name(member));
  throw Error(DEISA_ERROR_COMMUNICATOR, "the connection to rank(s) " + name(member) +
                                            " ended in the " + what + " (" + gloo_message(reason) +
                                            "): crashed, killed, or gave up (see their output)");
}

// Gloo can only block, and a time-out closes its connection: a thread waits, and this one looks.
bool MeshExchange::wait(const std::string& what, int member, const Buffer& buffer, Way way,
                        const Deadline& deadline, double slice) {
  // Zero would be no time-out.
  const auto timeout = std::max(gloo_timeout(deadline), std::chrono::milliseconds(1));
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false, came = false;
  std::exception_ptr problem;
  std::thread waiter = start_thread("Gloo", [&] {
    try {
      came = way == Way::kSend ? buffer->waitSend(timeout) : buffer->waitRecv(timeout);
    } catch (...) {
      problem = std::current_exception();
    }
    const std::lock_guard<std::mutex> lock(mutex);
    done = true;
    changed.notify_one();
  });
  const Deadline turn = Deadline::after(slice);
  {
    std::unique_lock<std::mutex> lock(mutex);
    const auto interval = std::min<std::chrono::duration<double>>(
        WhileWaiting::kInterval, std::chrono::duration<double>(slice));
    while (!changed.wait_for(lock, interval, [&] { return done; })) {
      lock.unlock();
      WhileWaiting::run();
      if (has_last_words() || turn.expired()) {
        way == Way::kSend ? buffer->abortWaitSend() : buffer->abortWaitRecv();
      }
      lock.lock();
    }
  }
  waiter.join();
  if (problem) {
    try {
      std::rethrow_exception(problem);
    } catch (const std::exception& reason) {
      fail(what, member, deadline, reason);
    }
  }
  if (!came) throw_last_words();
  return came;
}

void MeshExchange::gather(const char* what, uint64_t tag, const void* sent, size_t bytes,
                          void* received, int root, const Deadline& deadline) {
  if (bytes == 0) return;
  if (rank() != root) {
    Buffer buffer;
    try {
      // Gloo only reads it.
      buffer = mesh_->buffer(const_cast<void*>(sent), bytes);
      buffer->send(root, tag);
    } catch (const std::exception& exception) {
      fail(what, root, deadline, exception);
    }
    wait(what, root, buffer, Way::kSend, deadline);
    return;
  }
  auto* to = static_cast<char*>(received);
  std::memcpy(to + static_cast<size_t>(root) * bytes, sent, bytes);
  // A buffer for each rank tells which of them failed.
  std::vector<Buffer> buffers(static_cast<size_t>(size()));
  std::vector<int> missing;
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == root) continue;
    Buffer& buffer = buffers[static_cast<size_t>(peer)];
    buffer = mesh_->buffer(to + static_cast<size_t>(peer) * bytes, bytes);
    try {
      buffer->recv(peer, tag);
    } catch (const std::exception& exception) {
      fail(what, peer, deadline, exception);
    }
    missing.push_back(peer);
  }
  // For each of them in turn: one that has died is noticed though another is slow.
  for (size_t next = 0; !missing.empty(); ++next) {
    const size_t at = next % missing.size();
    const int peer = missing[at];
    const double slice = std::max(0.05 / static_cast<double>(missing.size()), 0.002);
    try {
      if (!wait(what, peer, buffers[static_cast<size_t>(peer)], Way::kReceive, deadline, slice)) {
        continue;
      }
    } catch (const Error& error) {
      if (error.status() != DEISA_ERROR_TIMEOUT || !deadline.expired()) throw;
      std::vector<bool> absent(static_cast<size_t>(world_ranks_.back()) + 1, false);
      for (const int one : missing) {
        absent[static_cast<size_t>(world_ranks_[static_cast<size_t>(one)])] = true;
      }
      throw late(what, to_text(rank_ranges(absent)));
    }
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(at));
    --next;  // who was after it is at its place now
  }
}

// Along a binomial tree.
void MeshExchange::broadcast(const char* what, uint64_t tag, void* data, size_t bytes, int root,
                             const Deadline& deadline) {
  if (bytes == 0) return;
  // Ranks counted from the root.
  const int place = (rank() - root + size()) % size();
  const auto rank_at = [&](int at) { return (at + root) % size(); };
  int step = 1;
  for (; step < size(); step *= 2) {
    if ((place & step) == 0) continue;
    const int parent = rank_at(place - step);
    Buffer buffer;
    try {
      buffer = mesh_->buffer(data, bytes);
      buffer->recv(parent, tag);
    } catch (const std::exception& exception) {
      fail(what, parent, deadline, exception);
    }
    wait(what, parent, buffer, Way::kReceive, deadline);
    break;
  }
  std::vector<std::pair<int, Buffer>> sends;
  for (step /= 2; step > 0; step /= 2) {
    if (place + step >= size()) continue;
    const int child = rank_at(place + step);
    sends.emplace_back(child, mesh_->buffer(data, bytes));
    try {
      sends.back().second->send(child, tag);
    } catch (const std::exception& exception) {
      fail(what, child, deadline, exception);
    }
  }
  for (auto& [child, buffer] : sends) wait(what, child, buffer, Way::kSend, deadline);
}

}  // namespace deisa
