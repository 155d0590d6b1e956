// A communicator between the threads of one process, for tests: each thread is a rank.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "deisa/deisa.h"

namespace deisa::testing {

class ThreadWorld {
 public:
  explicit ThreadWorld(int size) : size_(size) {
    for (int rank = 0; rank < size; ++rank) seats_.push_back({this, rank});
  }

  deisa_communicator table(int rank) {
    return {
        sizeof(deisa_communicator),
        &seats_[static_cast<size_t>(rank)],
        [](void* self) { return seat(self).rank; },
        [](void* self) { return seat(self).world->size_; },
        [](void* self, double timeout, deisa_error* error) {
          return seat(self).world->meet(timeout, error, [] {});
        },
        [](void* self, const void* sent, size_t bytes, void* received, int32_t root, double timeout,
           deisa_error* error) {
          return seat(self).world->gather(seat(self).rank, sent, bytes, received, root, timeout,
                                          error);
        },
        [](void* self, void* data, size_t bytes, int32_t root, double timeout, deisa_error* error) {
          return seat(self).world->broadcast(seat(self).rank, data, bytes, root, timeout, error);
        },
        nullptr,
        nullptr};
  }

 private:
  struct Seat {
    ThreadWorld* world;
    int rank;
  };
  static Seat& seat(void* self) { return *static_cast<Seat*>(self); }

  // Every thread comes, deposits, and leaves when all have come.
  template <typename Deposit>
  deisa_status meet(double timeout, deisa_error* error, const Deposit& deposit) {
    std::unique_lock<std::mutex> lock(mutex_);
    deposit();
    const long round = round_;
    if (++arrived_ == size_) {
      arrived_ = 0;
      ++round_;
      changed_.notify_all();
      return DEISA_OK;
    }
    const bool met = changed_.wait_for(lock, std::chrono::duration<double>(timeout),
                                       [&] { return round_ != round; });
    if (met) return DEISA_OK;
    if (error != nullptr) {
      *error = deisa_error{};
      error->status = DEISA_ERROR_TIMEOUT;
      std::snprintf(error->message, sizeof(error->message), "%d of %d ranks came", arrived_, size_);
    }
    return DEISA_ERROR_TIMEOUT;
  }

  deisa_status gather(int rank, const void* sent, size_t bytes, void* received, int root,
                      double timeout, deisa_error* error) {
    deisa_status status = meet(timeout, error, [&] {
      buffer_.resize(std::max(buffer_.size(), bytes * static_cast<size_t>(size_)));
      if (bytes > 0) std::memcpy(&buffer_[bytes * static_cast<size_t>(rank)], sent, bytes);
    });
    if (status == DEISA_OK && rank == root && bytes > 0) {
      std::memcpy(received, buffer_.data(), bytes * static_cast<size_t>(size_));
    }
    // A second meeting, so that nobody deposits again before root has read.
    return status == DEISA_OK ? meet(timeout, error, [] {}) : status;
  }

  deisa_status broadcast(int rank, void* data, size_t bytes, int root, double timeout,
                         deisa_error* error) {
    deisa_status status = meet(timeout, error, [&] {
      if (rank != root) return;
      buffer_.resize(std::max(buffer_.size(), bytes));
      if (bytes > 0) std::memcpy(buffer_.data(), data, bytes);
    });
    if (status == DEISA_OK && rank != root && bytes > 0) std::memcpy(data, buffer_.data(), bytes);
    return status == DEISA_OK ? meet(timeout, error, [] {}) : status;
  }

  int size_;
  std::vector<Seat> seats_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  long round_ = 0;
  std::vector<unsigned char> buffer_;
};

}  // namespace deisa::testing
