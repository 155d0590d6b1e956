// Starts the backend of Ray: the node leaders' control processes make the node actors, every rank
// connects to its own, and the node actors register with the analytics.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "backend/starter.hpp"
#include "control/control.hpp"

namespace deisa {

struct RayOptions {
  int rank = 0;
  Control::Settings control;
  std::string node_id;
  std::string node_actor;
  int init_retries = 0;
  std::string node_library;  // that the node actor loads; "": beside this one
  std::string socket_folder;
  bool any_ray = false;
  int max_in_flight = 0;
  double store_threshold = 0;
  int max_ahead = 0;
  int window = 0;
  double send_timeout = 0;       // seconds
  double ready_timeout = 0;      // seconds
  double feedback_interval = 0;  // seconds
  double announce_delay = 0;     // seconds
  double wait_notice = 0;        // seconds; 0: never
  bool statistics = false;       // rank 0 names the session's log
};

class RayStarter final : public Starter {
 public:
  // Where this rank will surely lead its node, as rank 0 does, or probably, the control process
  // loads Java or Python from here on, while the ranks gather.
  explicit RayStarter(RayOptions options);

  void start(const Ranks& ranks, const Deadline& deadline,
             std::unique_ptr<Backend>& backend) override;
  void stop() noexcept override { control_.reset(); }
  // By the node leader: nobody else would tell the analytics the end, if no other node actor of the
  // session lives.
  void end_lost(std::optional<int64_t> newest) noexcept override;

 private:
  void start_control() { control_ = Control::start(options_.control); }
  void start_node(const Ranks& ranks, const Deadline& deadline);
  void connect(const Ranks& ranks, const Deadline& deadline, std::unique_ptr<Backend>& backend);
  void finalise(const Ranks& ranks, const Deadline& deadline);
  std::string prepare_request(const Deadline& deadline) const;
  TraceSpan span(const char* name) const;

  RayOptions options_;
  std::unique_ptr<Control> control_;  // on the node leader, while it is needed
  bool leads_ = false;
  std::string session_;
  std::string actor_;      // name of this node's actor
  std::string socket_;     // path of its socket
  std::string log_;        // path of its log; "": not known
  std::string node_list_;  // JSON: node ids in the plan's order
};

}  // namespace deisa
