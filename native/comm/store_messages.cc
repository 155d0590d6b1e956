#include "comm/store_messages.hpp"

#include "base/number.hpp"

namespace deisa {

Error StoreMessages::error(deisa_status status, const std::string& what) const {
  return Error(status, "rank " + std::to_string(options_.rank) + " of " +
                           std::to_string(options_.size) + ": rendezvous at " +
                           options_.master_address + ":" + std::to_string(options_.master_port) +
                           ": " + what)
      .at_rank(options_.rank);
}

std::string StoreMessages::elapsed() const {
  const std::chrono::duration<double> seconds = Deadline::Clock::now() - start_;
  return fixed_text(seconds.count(), 1) + " s";
}

Error StoreMessages::unreachable(const std::string& last_problem) const {
  return error(DEISA_ERROR_TIMEOUT,
               "the master could not be reached within " + elapsed() + " (" + last_problem +
                   "). Rank 0 of the expected world size " + std::to_string(options_.size) +
                   " listens there once it starts. Likely causes: bridge 0 crashed, was never "
                   "started, or is blocked at start-up; it runs on another machine than "
                   "master_address; a firewall closes the port");
}

Error StoreMessages::failure(const store::Failure& failure) const {
  if (!failure.timed_out) {
    const auto status = static_cast<deisa_status>(failure.status);
    return error(status < 0 ? status : DEISA_ERROR_COMMUNICATOR, failure.reason);
  }
  const store::Attendance& attendance = failure.attendance;
  const RankRanges missing = missing_ranks(attendance.came, attendance.size);
  return error(DEISA_ERROR_TIMEOUT,
               "not every rank came within " + elapsed() + ". Expected world size " +
                   std::to_string(attendance.size) + "; " +
                   std::to_string(count_ranks(attendance.came)) +
                   " came: " + to_text(attendance.came) + "; " +
                   std::to_string(count_ranks(missing)) + " did not come: " + to_text(missing) +
                   ". Likely causes: a bridge crashed, was never started, or is blocked at "
                   "start-up; see the output of the ranks that did not come" +
                   (failure.reason.empty() ? "" : " (" + failure.reason + ")"));
}

}  // namespace deisa
