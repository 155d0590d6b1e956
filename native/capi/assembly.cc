#include "capi/assembly.hpp"

#include <string>
#include <utility>

#include "backend/file/file_backend.hpp"
#include "backend/null_backend.hpp"
#include "backend/ray/ray_starter.hpp"

namespace deisa {
namespace {

// Only rank 0 says for whom all wait.
double wait_notice(const Options& options) {
  return options.bridge_id == 0 ? options.wait_notice : 0;
}

RayOptions ray_options(const Options& options, std::shared_ptr<Trace> trace) {
  RayOptions ray;
  ray.rank = options.bridge_id;
  ray.control = {options.control, options.ray_address, options.places, std::move(trace),
                 options.bridge_id};
  ray.node_id = options.node_id;
  ray.node_actor = options.node_actor;
  ray.init_retries = options.init_retries;
  ray.node_library = options.place("DEISA_NODE_LIBRARY");
  ray.socket_folder = options.place("DEISA_SOCKET_DIR");
  ray.any_ray = options.place("DEISA_RAY_ANY") == "1";
  ray.max_in_flight = options.max_in_flight;
  ray.store_threshold = options.store_threshold;
  ray.max_ahead = options.max_ahead;
  ray.window = options.window;
  ray.send_timeout = options.send_timeout;
  ray.ready_timeout = options.ready_timeout;
  ray.feedback_interval = options.feedback_interval;
  ray.announce_delay = options.announce_delay;
  ray.wait_notice = wait_notice(options);
  ray.statistics = options.statistics;
  return ray;
}

std::unique_ptr<Starter> make_starter(const Options& options, std::shared_ptr<Trace> trace) {
  switch (options.backend) {
    case BackendKind::kRay:
      break;
    case BackendKind::kNull:
      return std::make_unique<NullStarter>();
    case BackendKind::kFile:
      return std::make_unique<FileStarter>(options.file_folder);
  }
  return std::make_unique<RayStarter>(ray_options(options, std::move(trace)));
}

}  // namespace

BridgeOptions bridge_options(const Options& options) {
  BridgeOptions bridge;
  bridge.bridge_id = options.bridge_id;
  bridge.world_size = options.world_size;
  bridge.communicator = options.communicator;
  bridge.master_address = options.master_address;
  bridge.master_port = options.master_port;
  bridge.node_id = options.node_id;
  bridge.comm_timeout = options.comm_timeout;
  bridge.ready_timeout = options.ready_timeout;
  bridge.send_timeout = options.send_timeout;
  bridge.wait_notice = wait_notice(options);
  bridge.acknowledge = options.acknowledge;
  bridge.when_full = options.when_full;
  bridge.block_timeout = options.block_timeout;
  bridge.filters = options.filters;
  bridge.aggregate = options.aggregate;
  bridge.alike = options.alike();
  bridge.statistics = options.statistics;
  return bridge;
}

std::unique_ptr<Bridge> make_bridge(const Options& options) {
  BridgeOptions bridge = bridge_options(options);
  if (const std::string file = options.place("DEISA_TRACE"); !file.empty()) {
    bridge.trace = std::make_shared<Trace>(file, "rank " + std::to_string(options.bridge_id));
  }
  std::unique_ptr<Starter> starter = make_starter(options, bridge.trace);
  return std::make_unique<Bridge>(std::move(bridge), std::move(starter));
}

}  // namespace deisa
