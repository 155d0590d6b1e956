// What the settings file filters.
#include <algorithm>

#include "bridge/bridge.hpp"

namespace deisa {

// The settings say that this chunk is not sent: nothing leaves this rank, but where another one
// would wait to hear that nothing comes.
void Bridge::filter_chunk(uint32_t array, const Source& source, int64_t timestep) {
  try {
    if (source.loan != nullptr) {
      // The buffers take turns all the same: the caller may read the one it gave.
      backend_->poll();
      backend_->wait_for_slots({array}, send_deadline());
      backend_->discard(backend_->exchange(array, source.loan));
    }
    ++chunks_filtered_;
    if (step_ == Step::kOpen) return;
    newest_[array] = timestep;
    oldest_allowed_ = std::max(oldest_allowed_, timestep);
    if (timestep <= newest_filtered_ && newest_filtered_ != DEISA_NO_TIMESTEP) return;
    newest_filtered_ = timestep;
    if (!plan_.same_arrays) backend_->promise(timestep, send_deadline());
  } catch (Error& error) {
    throw error.at_rank(options_.bridge_id).at_array(arrays_[array].name).at_timestep(timestep);
  }
}

std::vector<uint32_t> Bridge::due_arrays(int64_t timestep) const {
  std::vector<uint32_t> due;
  for (size_t i = 0; i < arrays_.size(); ++i) {
    if (arrays_[i].name != kEndMarkerArray && filters_[i].passes(timestep)) {
      due.push_back(static_cast<uint32_t>(i));
    }
  }
  return due;
}

}  // namespace deisa
