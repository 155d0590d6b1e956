#include "bridge/admission.hpp"

#include <algorithm>
#include <optional>

#include "base/number.hpp"
#include "base/wait_notice.hpp"

namespace deisa {
namespace {

constexpr const char* kYes = "1";
constexpr const char* kNo = "0";

}  // namespace

Error not_admitted(const BridgeOptions& options, int64_t timestep, const std::string& full,
                   double waited) {
  const bool fails = options.when_full == DEISA_WHEN_FULL_FAIL;
  std::string text = "timestep " + std::to_string(timestep) + " may not begin: " + full + ". ";
  if (fails) {
    text += "when_full is fail";
    if (waited > 0) text += ", and block_timeout, " + number_text(waited) + " s, has passed";
  } else {
    text += "This rank has waited for " + number_text(waited) + " s (" +
            (options.when_full == DEISA_WHEN_FULL_SKIP ? "send_timeout" : "block_timeout") + ")";
  }
  text += ". Set block_timeout to wait longer, or when_full to skip to leave timesteps out.";
  return Error(fails ? DEISA_ERROR_RESOURCE : DEISA_ERROR_TIMEOUT, text);
}

bool all_may_begin(Communicator& communicator, const std::function<std::string()>& admit,
                   int64_t timestep, double notice_after, const Deadline& deadline) {
  std::optional<Error> failure;
  bool mine = false;
  try {
    mine = admit().empty();
  } catch (const Error& error) {
    failure = error;
  }
  const BlockingWaitNotice notice(notice_after, deadline, [&] {
    return WaitNotice::Text{
        "the other ranks to say whether timestep " + std::to_string(timestep) + " may begin",
        "Does every rank call deisa_begin_step for it? With when_full = skip they decide together, "
        "each after block_timeout at most."};
  });
  const auto all = communicator.gather(mine ? kYes : kNo, 0, deadline);
  const bool everybody =
      std::all_of(all.begin(), all.end(), [](const std::string& one) { return one == kYes; });
  const std::string decision = communicator.broadcast(everybody ? kYes : kNo, 0, deadline);
  if (failure) throw *failure;
  return decision == kYes;
}

}  // namespace deisa
