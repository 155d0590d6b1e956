// deisa_ready: from an unconnected bridge to one that may send. The phases are those of
// docs/architecture.md; each ends in an agreement, so that every rank fails with the same error.
#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "backend/file/file_backend.hpp"
#include "backend/ray/ray_backend.hpp"
#include "comm/agreement.hpp"
#include "bridge/bridge.hpp"
#include "comm/rank_ranges.hpp"
#include "comm/store_host.hpp"
#include "settings/settings.hpp"

namespace deisa {
namespace {

using nlohmann::json;

// Ranks that wait for the leader's work give it this much longer than its own deadline, so that
// they get its error and not their own.
constexpr double kGrace = 20.0;

// Rank 0 stays for so long to tell the others why it gives up. They ask every half second.
constexpr double kTelling = 1.0;

// In a trace: what concerns no array.
const std::string kNoArray;

// The native library that the node actor loads: beside this one.
std::string node_library(const Options& options) {
  const std::string given = options.place("DEISA_NODE_LIBRARY");
  if (!given.empty()) return given;
  Dl_info info = {};
  if (::dladdr(reinterpret_cast<const void*>(&deisa_version), &info) == 0)
    return "libdeisa_node.so";
  std::error_code ignored;
  const auto path = std::filesystem::absolute(info.dli_fname, ignored);
  return (path.parent_path() / "libdeisa_node.so").string();
}

// The options of back-pressure, as the node actor reads them.
json limits(const Options& options) {
  return {{"threshold", options.store_threshold},
          {"max_ahead", options.max_ahead},
          {"window", options.window}};
}

// Options about which the ranks must agree.
std::map<std::string, std::string> same_everywhere(const Options& options) {
  const char* when_full[] = {"block", "skip", "fail"};
  return {{"when_full", when_full[options.when_full]},
          {"block_timeout", json(options.block_timeout).dump()},
          {"store_threshold", json(options.store_threshold).dump()},
          {"max_ahead", std::to_string(options.max_ahead)},
          {"window", std::to_string(options.window)},
          {"backend", choices(setting("backend"))[static_cast<size_t>(options.backend)]},
          {"arrays", options.filters.text()}};
}

// Whether a launcher says that this is the lowest rank of its node: Open MPI, Slurm, Intel MPI and
// MPICH.
bool is_first_of_node() {
  for (const char* name :
       {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK", "SLURM_LOCALID"}) {
    const char* value = std::getenv(name);
    if (value != nullptr) return std::strcmp(value, "0") == 0;
  }
  return false;
}

// A reply of the node actor's side: an error, or what was asked for.
json parse_reply(const std::string& reply) {
  json parsed = json::parse(reply, nullptr, false);
  if (!parsed.is_object()) {
    throw Error(DEISA_ERROR_INTERNAL, "the node actor's reply is not a JSON object: " + reply);
  }
  if (parsed.contains("error")) {
    const std::string kind = parsed.value("kind", "connection");
    throw Error(kind == "contract"      ? DEISA_ERROR_CONTRACT
                : kind == "timeout"     ? DEISA_ERROR_TIMEOUT
                : kind == "unsupported" ? DEISA_ERROR_UNSUPPORTED
                                        : DEISA_ERROR_CONNECTION,
                parsed.at("error").get<std::string>());
  }
  return parsed;
}

}  // namespace

void Bridge::start_control() {
  control_ = Control::start(
      {options_.control, options_.ray_address, options_.places, trace_, options_.bridge_id});
}

// Where this rank will surely be the leader of its node, as rank 0 is, or probably: it loads Java or
// Python while the ranks meet.
void Bridge::start_control_early() noexcept {
  if (options_.backend != BackendKind::kRay) return;
  if (options_.bridge_id != 0 && !is_first_of_node()) return;
  try {
    start_control();
  } catch (const std::exception&) {
    // start_node() tries again, where every rank gets the error.
  }
}

void Bridge::ready() {
  if (state_ != State::kDefining) {
    throw contract(state_ == State::kReady ? "deisa_ready was called before: call it once"
                                           : "deisa_ready on a bridge that failed or was closed");
  }
  const TraceCall call(trace_.get());
  const auto traced = span("ready", kNoArray, DEISA_NO_TIMESTEP);
  try {
    open_communicator();
    meet();
    // From here on, where all have met, it is one deadline for every rank.
    const Deadline deadline = Deadline::after(plan_.ready_timeout);
    if (options_.backend == BackendKind::kRay) {
      start_node(deadline);
      register_arrays(deadline);
      finalise(deadline);
    } else {
      start_without_ray(deadline);
    }
    // Ray is needed no more.
    const auto leaving = span("leave Ray", kNoArray, DEISA_NO_TIMESTEP);
    control_.reset();
  } catch (Error& error) {
    if (backend_) backend_->leave(false);
    state_ = State::kFailed;
    control_.reset();
    if (error.rank() < 0) error.at_rank(options_.bridge_id);
    throw error;
  } catch (...) {
    state_ = State::kFailed;
    control_.reset();
    throw;
  }
  newest_.assign(arrays_.size(), DEISA_NO_TIMESTEP);
  for (const ArrayMetadata& array : arrays_) {
    const bool marker = array.name == kEndMarkerArray;
    filters_.push_back(marker ? ArrayFilter() : options_.filters.of(array.name));
  }
  state_ = State::kReady;
}

BlockingWaitNotice Bridge::notice(const Deadline& limit, std::string whom,
                                  std::string advice) const {
  return BlockingWaitNotice(options_.bridge_id == 0 ? options_.wait_notice : 0, limit,
                            [whom = std::move(whom), advice = std::move(advice)] {
                              return WaitNotice::Text{whom, advice};
                            });
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
  const BlockingWaitNotice noticed(
      options_.bridge_id == 0 ? options_.wait_notice : 0, deadline, [this] {
        const std::string place =
            options_.master_address + ":" + std::to_string(options_.master_port);
        const auto host = find_host(options_.master_port);
        if (!host) return WaitNotice::Text{"the rendezvous at " + place, ""};
        const RankRanges missing = missing_ranks(host->attendance.came, host->attendance.size);
        return WaitNotice::Text{
            "rank(s) " + to_text(missing) + " of " + std::to_string(options_.world_size) +
                " to come to the rendezvous at " + place,
            host->refused.empty() ? "Were they started, with this address and port?"
                                  : host->refused + "."};
      });
  try {
    communicator_ = Communicator::gloo(
        {options_.bridge_id, options_.world_size, options_.master_address, options_.master_port},
        deadline);
  } catch (const Error& error) {
    refusal_ = refuse_others(options_, error);
    throw;
  }
}

std::unique_ptr<Refusal> refuse_others(const Options& options, const Error& why) noexcept {
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
void Bridge::meet() {
  const auto traced = span("agree on arrays and leaders", kNoArray, DEISA_NO_TIMESTEP);
  const Deadline deadline = Deadline::after(options_.comm_timeout);
  const auto noticed =
      notice(deadline, "the other ranks to call deisa_ready", "Does every rank call it?");
  plan_ = decode_plan(agree(
      *communicator_, deadline,
      [&] {
        return encode(Attendance{node_key(options_.node_id), arrays_, options_.ready_timeout,
                                 same_everywhere(options_)});
      },
      [&](const std::vector<std::string>& attendances) {
        return encode(make_plan(attendances, random_session(), options_.filters));
      }));
}

std::string Bridge::prepare_request(const Deadline& deadline) const {
  return json{{"node_id", options_.node_id},
              {"node_actor", options_.node_actor},
              {"session", plan_.session},
              {"process", static_cast<int64_t>(::getpid())},
              {"init_retries", options_.init_retries},
              {"deadline", deadline.seconds()},
              {"library", node_library(options_)},
              {"socket_dir", options_.place("DEISA_SOCKET_DIR")},
              {"any_ray", options_.place("DEISA_RAY_ANY") == "1"},
              {"trace", trace_ ? trace_->name() : ""},
              {"announce_delay", options_.announce_delay},
              {"feedback_interval", options_.feedback_interval}}
      .dump();
}

// Phase 3: the lowest rank of each node connects to Ray and finds or makes the node actor; every
// rank learns its socket.
void Bridge::start_node(const Deadline& deadline) {
  const size_t node =
      static_cast<size_t>(plan_.node_of.at(static_cast<size_t>(options_.bridge_id)));
  const bool leader = leads_ = plan_.leader[node] == options_.bridge_id;
  if (!leader) control_.reset();
  const auto noticed =
      notice(deadline, "the node actors of " + std::to_string(plan_.leader.size()) + " node(s)",
             "Is Ray, or a node, overloaded? Ray's logs are in /tmp/ray/session_latest/logs.");
  const std::string replies = agree(
      *communicator_, Deadline::after(deadline.seconds() + kGrace),
      [&]() -> std::string {
        if (!leader) return "";
        if (trace_) trace_->begin();
        {
          const auto traced = span("join Ray", kNoArray, DEISA_NO_TIMESTEP);
          if (!control_) start_control();
          control_->connect(deadline);
        }
        const auto traced = span("get the node actor", kNoArray, DEISA_NO_TIMESTEP);
        const std::string reply = control_->run("prepare", prepare_request(deadline), deadline);
        parse_reply(reply);
        return reply;
      },
      [&](const std::vector<std::string>& results) {
        json nodes = json::array();
        for (const int rank : plan_.leader) {
          nodes.push_back(json::parse(results[static_cast<size_t>(rank)]));
        }
        return nodes.dump();
      });
  const json nodes = json::parse(replies);
  actor_ = nodes.at(node).at("actor").get<std::string>();
  socket_ = nodes.at(node).at("socket").get<std::string>();
  json ids = json::array();
  for (const json& one : nodes) ids.push_back(one.at("node_id"));
  node_list_ = ids.dump();
}

// Phase 4: every rank hands its slots and the description of its arrays to its node actor.
void Bridge::register_arrays(const Deadline& deadline) {
  const auto traced = span("connect and hand over slots", kNoArray, DEISA_NO_TIMESTEP);
  const size_t node =
      static_cast<size_t>(plan_.node_of.at(static_cast<size_t>(options_.bridge_id)));
  agree(*communicator_, Deadline::after(deadline.seconds() + kGrace), [&] {
    std::vector<std::string> definitions;
    for (const ArrayMetadata& array : arrays_) {
      definitions.push_back(
          json{{"name", array.name},
               {"dtype", dtype_name(array.layout.dtype)},
               {"chunk_shape", array.layout.shape},
               {"nb_chunks_per_dim", array.grid},
               {"chunk_position", array.position},
               {"sent", array.name == kEndMarkerArray || options_.filters.of(array.name).send},
               {"nb_chunks_of_node", plan_.arrays.at(array.name).chunks_of_node.at(node)}}
              .dump());
    }
    const json hello = {{"bridge_id", options_.bridge_id},
                        {"world_size", options_.world_size},
                        {"session", plan_.session},
                        {"pid", static_cast<int64_t>(::getpid())},
                        {"max_in_flight", options_.max_in_flight},
                        {"step_timeout", options_.send_timeout}};
    auto sender = std::make_unique<RayBackend>(arrays_, options_.bridge_id,
                                               static_cast<uint32_t>(options_.max_in_flight));
    if (options_.bridge_id == 0) sender->notice_waits_after(options_.wait_notice);
    sender->connect(socket_, hello.dump(), definitions, deadline);
    backend_ = std::move(sender);
  });
}

// In the place of phases 3 to 5, with DEISA_BACKEND=null or file.
void Bridge::start_without_ray(const Deadline& deadline) {
  const Deadline meeting = Deadline::after(deadline.seconds() + kGrace);
  const bool files = options_.backend == BackendKind::kFile;
  const auto node = static_cast<size_t>(plan_.node_of.at(static_cast<size_t>(options_.bridge_id)));
  agree(*communicator_, meeting, [&] {
    if (trace_ && plan_.leader[node] == options_.bridge_id) trace_->begin();
    if (files && options_.bridge_id == 0) {
      FileBackend::make_folder(options_.file_folder, plan_);
    }
  });
  if (!files) {
    backend_ = std::make_unique<NullBackend>(arrays_, options_.bridge_id);
    return;
  }
  agree(*communicator_, meeting, [&] {
    backend_ =
        std::make_unique<FileBackend>(arrays_, options_.bridge_id, options_.file_folder, plan_);
  });
}

// Phase 5: the node actors wait for the analytics and register with the head actor.
void Bridge::finalise(const Deadline& deadline) {
  const auto traced = span("register with the analytics", kNoArray, DEISA_NO_TIMESTEP);
  const size_t node =
      static_cast<size_t>(plan_.node_of.at(static_cast<size_t>(options_.bridge_id)));
  const auto noticed = notice(deadline, "the analytics to start",
                              "Start the Python program that makes the Deisa object, on this "
                              "cluster of Ray. To run without "
                              "analytics, set DEISA_DISABLE=1.");
  agree(*communicator_, Deadline::after(deadline.seconds() + kGrace), [&] {
    if (plan_.leader[node] != options_.bridge_id) return;
    const json nodes = json::parse(node_list_);
    const json request = {{"session", plan_.session},
                          {"bridges", plan_.ranks_of_node(static_cast<int>(node))},
                          {"world_size", options_.world_size},
                          {"nodes", nodes},
                          {"master_node", nodes.at(static_cast<size_t>(plan_.node_of.front()))},
                          {"uniform", plan_.uniform},
                          {"limits", limits(options_)},
                          {"deadline", deadline.seconds()}};
    parse_reply(control_->call(actor_, "deisa_finalise", request.dump(), deadline));
  });
}

}  // namespace deisa
