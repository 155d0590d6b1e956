#include "backend/null_backend.hpp"

#include "comm/agreement.hpp"

namespace deisa {

void NullBackend::take(uint32_t, int64_t, const void*) {}

uint64_t NullBackend::hand_over(int64_t timestep, bool, const std::vector<Prepared>& chunks,
                                const Deadline&) {
  const Stopwatch stopwatch(counters_.seconds_blocked);
  for (size_t i = 0; i < chunks.size(); ++i) {
    const Prepared& chunk = chunks[i];
    ++counters_.chunks_sent;
    counters_.bytes_sent += static_cast<int64_t>(arrays_[chunk.array].bytes);
    try {
      take(chunk.array, timestep, data(chunk));
    } catch (Error& error) {
      // With it goes the rest of its step.
      counters_.chunks_failed += static_cast<int64_t>(chunks.size() - i);
      counters_.chunks_sent += static_cast<int64_t>(chunks.size() - i - 1);
      for (; i < chunks.size(); ++i) discard(chunks[i]);
      throw error.at_rank(rank_).at_array(arrays_[chunk.array].name).at_timestep(timestep);
    }
    ++counters_.chunks_stored;
    ++counters_.chunks_announced;
    discard(chunk);
  }
  return ++message_;
}

void NullStarter::start(const Ranks& ranks, const Deadline& deadline,
                        std::unique_ptr<Backend>& backend) {
  agree(ranks.communicator, Ranks::longer(deadline), [&] {
    if (ranks.trace != nullptr && ranks.leads()) ranks.trace->begin();
  });
  backend = std::make_unique<NullBackend>(ranks.arrays, ranks.rank());
}

}  // namespace deisa
