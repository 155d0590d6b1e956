// deisa_ready: from an unconnected bridge to one that may send. The phases are those of
// docs/architecture.md; each ends in an agreement, so that every rank fails with the same error.
#include "base/shortage.hpp"
#include "base/wait_notice.hpp"
#include "bridge/bridge.hpp"
#include "comm/agreement.hpp"
#include "comm/rank_ranges.hpp"
#include "comm/store_host.hpp"

namespace deisa {
namespace {

// Rank 0 stays for so long to tell the others why it gives up. They ask every half second.
constexpr double kTelling = 1.0;

// In a trace: what concerns no array.
const std::string kNoArray;

}  // namespace

void Bridge::ready() {
  if (state_ != State::kDefining) {
    throw contract(state_ == State::kReady ? "deisa_ready was called before: call it once"
                                           : "deisa_ready on a bridge that failed or was closed");
  }
  const TraceCall call(options_.trace.get());
  const auto traced = span("ready", kNoArray, DEISA_NO_TIMESTEP);
  try {
    open_communicator();
    agree_on_plan();
    for (const ArrayMetadata& array : arrays_) {
      const bool marker = array.name == kEndMarkerArray;
      filters_.push_back(marker ? ArrayFilter() : options_.filters.of(array.name));
    }
    // From here on it is one deadline for every rank.
    starter_->start({*communicator_, plan_, arrays_, filters_, options_.trace.get(), pickles_},
                    Deadline::after(plan_.ready_timeout), backend_);
  } catch (Error& error) {
    if (backend_) backend_->leave(false);
    state_ = State::kFailed;
    starter_->stop();
    if (error.rank() < 0) error.at_rank(options_.bridge_id);
    throw error;
  } catch (...) {
    state_ = State::kFailed;
    starter_->stop();
    throw;
  }
  newest_.assign(arrays_.size(), DEISA_NO_TIMESTEP);
  state_ = State::kReady;
}

// Phase 1: the communicator that was given, or one through Gloo.
void Bridge::open_communicator() {
  if (options_.communicator) {
    communicator_ = std::make_unique<Communicator>(*options_.communicator);
    options_.communicator.reset();  // it is communicator_ that releases it
    return;
  }
  if (options_.world_size == 1) {
    communicator_ = Communicator::single();
    return;
  }
  const auto traced = span("rendezvous", kNoArray, DEISA_NO_TIMESTEP);
  const Deadline deadline = Deadline::after(options_.comm_timeout);
  const BlockingWaitNotice noticed(options_.wait_notice, deadline, [this] {
    const std::string place = options_.master_address + ":" + std::to_string(options_.master_port);
    const auto host = find_host(options_.master_address, options_.master_port);
    if (!host) return WaitNotice::Text{"the rendezvous at " + place, ""};
    const RankRanges missing = missing_ranks(host->attendance.came, host->attendance.size);
    return WaitNotice::Text{"rank(s) " + to_text(missing) + " of " +
                                std::to_string(options_.world_size) +
                                " to come to the rendezvous at " + place,
                            host->refused.empty() ? "Were they started, with this address and port?"
                                                  : host->refused + "."};
  });
  try {
    communicator_ = Communicator::gloo(
        {options_.bridge_id, options_.world_size, options_.master_address, options_.master_port},
        deadline);
  } catch (const std::exception& error) {
    refusal_ = refuse_others(options_, as_error(error));
    throw;
  }
}

std::unique_ptr<Refusal> refuse_others(const BridgeOptions& options, const Error& why) noexcept {
  if (options.bridge_id != 0 || options.communicator || options.world_size <= 1) return nullptr;
  try {
    auto refusal = std::make_unique<Refusal>(options.master_address, options.master_port,
                                             options.world_size, why);
    refusal->wait_until_told(Deadline::after(kTelling));
    return refusal;
  } catch (const std::exception&) {
    return nullptr;  // they wait
  }
}

// Phase 2: every rank says where it is and what it has; rank 0 checks and plans.
void Bridge::agree_on_plan() {
  const auto traced = span("agree on arrays and leaders", kNoArray, DEISA_NO_TIMESTEP);
  const Deadline deadline = Deadline::after(options_.comm_timeout);
  const BlockingWaitNotice noticed(options_.wait_notice, deadline,
                                   "the other ranks to call deisa_ready",
                                   "Does every rank call it?");
  for (ArrayMetadata& array : arrays_) {
    const auto of_file = options_.filters.of(array.name).aggregate;
    if (of_file) array.aggregate = of_file;
    if (!array.aggregate) array.aggregate = options_.aggregate;
  }
  plan_ = decode_plan(agree(
      *communicator_, deadline,
      [&] {
        return encode(Attendance{node_key(options_.node_id), arrays_, options_.ready_timeout,
                                 options_.alike});
      },
      [&](const std::vector<std::string>& attendances) {
        return encode(make_plan(attendances, random_session(), options_.filters));
      }));
  for (ArrayMetadata& array : arrays_) {
    take_place(array, plan_);
    if (array.has_dtype()) continue;
    const auto dtype = dtype_from_name(plan_.arrays.at(array.name).dtype);
    if (dtype) array.set_dtype(*dtype);
  }
}

}  // namespace deisa
