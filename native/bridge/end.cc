// How a bridge ends, and what it says of itself then.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "base/number.hpp"
#include "base/wait_notice.hpp"
#include "base/while_waiting.hpp"
#include "bridge/bridge.hpp"

namespace deisa {
void Bridge::close(int64_t timestep, const std::function<void(std::vector<Error>)>& report) {
  if (state_ == State::kDefining || state_ == State::kFailed || state_ == State::kClosed) {
    abandon();
    return;
  }
  if (step_ == Step::kOpen) {
    throw contract("close inside the step " + std::to_string(step_timestep_) +
                   ": expected end_step or abandon_step first")
        .at_timestep(timestep);
  }
  if (timestep < newest_step_ || timestep == std::numeric_limits<int64_t>::max()) {
    throw contract("close with timestep " + std::to_string(timestep) +
                   ": expected at least the newest timestep that was sent, " +
                   std::to_string(newest_step_))
        .at_timestep(timestep);
  }
  const auto report_late = [&] {
    look_for_late_failures();
    std::vector<Error> late = take_late_failures();
    if (!late.empty()) report(std::move(late));
  };
  using Report = decltype(report_late);
  const WhileWaiting reporting(
      [](void* data) {
        try {
          (*static_cast<Report*>(data))();
        } catch (...) {
          // Out of memory, or the node actor is gone, which the end says.
        }
      },
      const_cast<void*>(static_cast<const void*>(&report_late)));
  // Failures do not keep this rank from the barrier: the others wait there.
  std::optional<Error> failure;
  const auto attempt = [&failure, this](const auto& work) {
    try {
      work();
      return true;
    } catch (Error& error) {
      if (!failure) failure = error.at_rank(options_.bridge_id);
      return false;
    }
  };
  const Deadline flushed = send_deadline();
  attempt([&] {
    backend_->promise(std::numeric_limits<int64_t>::max(), flushed);
    backend_->flush(flushed);
  });
  // The others may flush for as long as this rank was allowed to.
  const Deadline all_flushed = Deadline::after(flushed.seconds() + options_.comm_timeout);
  const bool together = attempt([&] {
    const BlockingWaitNotice noticed(options_.wait_notice, all_flushed,
                                     "the other ranks to call deisa_close",
                                     "Are they still computing, or handing over what they sent?");
    communicator_->barrier(all_flushed);
  });
  if (together && options_.bridge_id == 0)
    attempt([&] { backend_->end(timestep, send_deadline()); });
  report_late();
  // Without the barrier bridge 0 leaves as if it had died: its node actor sends the end marker when
  // every node has announced what it holds.
  backend_->leave(together);
  state_ = State::kClosed;
  ended_ = "closed";
  communicator_.reset();
  if (failure) throw *failure;
}

void Bridge::abandon() noexcept {
  if (state_ == State::kReady && backend_) backend_->leave(false);
  if (state_ != State::kClosed) ended_ = state_ == State::kReady ? "abandoned" : "never ready";
  if (state_ == State::kDefining && undefined_) refusal_ = refuse_others(options_, *undefined_);
  if (refusal_) keep_refusal(std::move(refusal_));
  state_ = State::kClosed;
  // The sender stays, for its counters and late failures; its socket is closed with it.
  starter_->stop();
  communicator_.reset();
  // One that was given, but never used: deisa_ready was not called, or did not come so far.
  if (options_.communicator && options_.communicator->release != nullptr) {
    options_.communicator->release(options_.communicator->self);
  }
  options_.communicator.reset();
}

void Bridge::end_session_if_lost() noexcept {
  if (!backend_ || !backend_->is_lost()) return;
  std::optional<int64_t> newest;
  const bool sends = arrays_.size() > (options_.bridge_id == 0 ? 1u : 0u);
  if (sends) newest = newest_step_ != DEISA_NO_TIMESTEP ? newest_step_ : -1;
  starter_->end_lost(newest);
}

void Bridge::count_error(const Error& error) noexcept {
  ++errors_;
  if (error.is_earlier()) ++errors_earlier_;
}

deisa_statistics Bridge::statistics() noexcept {
  deisa_statistics now = DEISA_STATISTICS_INIT;
  now.steps_sent = steps_sent_;
  now.steps_skipped = steps_skipped_;
  now.chunks_filtered = chunks_filtered_;
  now.errors = errors_;
  now.errors_earlier = errors_earlier_;
  look_for_late_failures();
  if (backend_) {
    const Backend::Counters counters = backend_->counters();
    now.chunks_sent = counters.chunks_sent;
    now.chunks_stored = counters.chunks_stored;
    now.chunks_announced = counters.chunks_announced;
    now.chunks_failed = counters.chunks_failed;
    now.chunks_in_flight = backend_->chunks_in_flight();
    now.chunks_lost = counters.chunks_lost;
    now.bytes_sent = counters.bytes_sent;
    now.bytes_copied = counters.bytes_copied;
    now.seconds_blocked = counters.seconds_blocked;
  }
  return now;
}

void Bridge::print_statistics() noexcept {
  if (!options_.statistics) return;
  try {
    const deisa_statistics now = statistics();
    char text[1024];
    const auto number = [](int64_t value) { return static_cast<long long>(value); };
    const auto mebi = [](int64_t bytes) {
      return fixed_text(static_cast<double>(bytes) / (1024.0 * 1024.0), 1);
    };
    const int length = std::snprintf(
        text, sizeof(text),
        "deisa: rank %d of %d %s\n"
        "  timesteps  %lld sent, %lld skipped\n"
        "  chunks     %lld sent, %lld stored, %lld announced, %lld failed, %lld lost, "
        "%lld in flight, %lld filtered\n"
        "  bytes      %s MiB sent, %s MiB copied\n"
        "  blocked    %s s\n"
        "  errors     %lld, of these %lld of earlier calls\n",
        options_.bridge_id, options_.world_size, ended_, number(now.steps_sent),
        number(now.steps_skipped), number(now.chunks_sent), number(now.chunks_stored),
        number(now.chunks_announced), number(now.chunks_failed), number(now.chunks_lost),
        number(now.chunks_in_flight), number(now.chunks_filtered), mebi(now.bytes_sent).c_str(),
        mebi(now.bytes_copied).c_str(), fixed_text(now.seconds_blocked, 3).c_str(),
        number(now.errors), number(now.errors_earlier));
    // In one piece, so that the ranks' blocks do not mix.
    if (length > 0 && ::write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) return;
  } catch (...) {
    // Out of memory: nothing is printed.
  }
}

}  // namespace deisa
