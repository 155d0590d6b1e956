// The phases are those of docs/architecture.md; each ends in an agreement, so that every rank fails
// with the same error.
#include "backend/ray/ray_starter.hpp"

#include <dlfcn.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "backend/ray/ray_backend.hpp"
#include "base/wait_notice.hpp"
#include "comm/agreement.hpp"

namespace deisa {
namespace {

using nlohmann::json;

// Seconds that ending the session of a node actor that has died may take.
constexpr double kEndTimeout = 60.0;

// The native library that the node actor loads: beside this one.
std::string node_library(const std::string& given) {
  if (!given.empty()) return given;
  Dl_info info = {};
  if (::dladdr(reinterpret_cast<const void*>(&deisa_version), &info) == 0)
    return "libdeisa_node.so";
  std::error_code ignored;
  const auto path = std::filesystem::absolute(info.dli_fname, ignored);
  return (path.parent_path() / "libdeisa_node.so").string();
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
    throw Error(status_of_kind(parsed.value("kind", "")), parsed.at("error").get<std::string>());
  }
  return parsed;
}

}  // namespace

RayStarter::RayStarter(RayOptions options) : options_(std::move(options)) {
  if (options_.rank != 0 && !is_first_of_node()) return;
  try {
    start_control();
  } catch (const std::exception&) {
    // start_node() tries again, where every rank gets the error.
  }
}

TraceSpan RayStarter::span(const char* name) const {
  static const std::string no_array;
  return {options_.control.trace.get(), name, options_.rank, no_array, DEISA_NO_TIMESTEP};
}

void RayStarter::start(const Ranks& ranks, const Deadline& deadline,
                       std::unique_ptr<Backend>& backend) {
  session_ = ranks.plan.session;
  leads_ = ranks.leads();
  if (!leads_) stop();
  start_node(ranks, deadline);
  connect(ranks, deadline, backend);
  finalise(ranks, deadline);
  // Ray is needed no more.
  const auto leaving = span("leave Ray");
  stop();
}

std::string RayStarter::prepare_request(const Deadline& deadline) const {
  const std::shared_ptr<Trace>& trace = options_.control.trace;
  return json{{"node_id", options_.node_id},
              {"node_actor", options_.node_actor},
              {"session", session_},
              {"process", static_cast<int64_t>(::getpid())},
              {"init_retries", options_.init_retries},
              {"deadline", deadline.seconds()},
              {"library", node_library(options_.node_library)},
              {"socket_dir", options_.socket_folder},
              {"any_ray", options_.any_ray},
              {"trace", trace ? trace->name() : ""},
              {"announce_delay", options_.announce_delay},
              {"feedback_interval", options_.feedback_interval}}
      .dump();
}

// Phase 3: the node leader connects to Ray and finds or makes the node actor; every rank learns its
// socket.
void RayStarter::start_node(const Ranks& ranks, const Deadline& deadline) {
  const std::vector<int>& leaders = ranks.plan.leader;
  const BlockingWaitNotice noticed(
      options_.wait_notice, deadline,
      "the node actors of " + std::to_string(leaders.size()) + " node(s)",
      "Is Ray, or a node, overloaded? Ray's logs are in /tmp/ray/session_latest/logs.");
  const std::string replies = agree(
      ranks.communicator, Ranks::longer(deadline),
      [&]() -> std::string {
        if (!leads_) return "";
        if (ranks.trace != nullptr) ranks.trace->begin();
        {
          const auto traced = span("join Ray");
          if (!control_) start_control();
          control_->connect(deadline);
        }
        const auto traced = span("get the node actor");
        const std::string reply = control_->run("prepare", prepare_request(deadline), deadline);
        parse_reply(reply);
        return reply;
      },
      [&](const std::vector<std::string>& results) {
        json nodes = json::array();
        for (const int rank : leaders) {
          nodes.push_back(json::parse(results[static_cast<size_t>(rank)]));
        }
        return nodes.dump();
      });
  const json nodes = json::parse(replies);
  const json& mine = nodes.at(ranks.node());
  actor_ = mine.at("actor").get<std::string>();
  socket_ = mine.at("socket").get<std::string>();
  log_ = mine.value("log", "");
  if (options_.statistics && options_.rank == 0 && !log_.empty()) {
    std::fprintf(stderr, "deisa: session %s; its log is %s\n", session_.c_str(), log_.c_str());
  }
  json ids = json::array();
  for (const json& one : nodes) ids.push_back(one.at("node_id"));
  node_list_ = ids.dump();
}

// Phase 4: every rank hands its slots and the description of its arrays to its node actor.
void RayStarter::connect(const Ranks& ranks, const Deadline& deadline,
                         std::unique_ptr<Backend>& backend) {
  const auto traced = span("connect and hand over slots");
  agree(ranks.communicator, Ranks::longer(deadline), [&] {
    std::vector<std::string> definitions;
    std::vector<std::optional<Box>> boxes(ranks.arrays.size());
    for (size_t i = 0; i < ranks.arrays.size(); ++i) {
      const ArrayMetadata& array = ranks.arrays[i];
      const Plan::Array& planned = ranks.plan.arrays.at(array.name);
      json definition = {
          {"name", array.name},
          {"dtype", array.has_dtype() ? json(dtype_name(array.layout.dtype)) : json()},
          {"chunk_shape", array.layout.shape},
          {"nb_chunks_per_dim", array.grid},
          {"chunk_position", array.position},
          {"sent", ranks.filters[i].send},
          {"nb_chunks_of_node", planned.chunks_of_node.at(ranks.node())}};
      if (!planned.boxes.empty()) {
        const Box& box = boxes[i].emplace(box_of(array.position, planned.boxes, planned.extents));
        definition["box"] = {{"grid", box.grid},
                             {"position", box.position},
                             {"shape", box.shape},
                             {"offset", box.offset},
                             {"chunks", box.chunks}};
      }
      definitions.push_back(definition.dump());
    }
    const json hello = {{"bridge_id", ranks.rank()},
                        {"world_size", ranks.communicator.size()},
                        {"session", session_},
                        {"pid", static_cast<int64_t>(::getpid())},
                        {"max_in_flight", options_.max_in_flight},
                        {"step_timeout", options_.send_timeout},
                        {"pickles", ranks.pickles}};
    auto sender = std::make_unique<RayBackend>(ranks.arrays, ranks.rank(),
                                               static_cast<uint32_t>(options_.max_in_flight));
    sender->notice_waits_after(options_.wait_notice);
    sender->name_log(log_);
    sender->connect(socket_, hello.dump(), definitions, deadline);
    for (size_t i = 0; i < boxes.size(); ++i) {
      if (!boxes[i] || boxes[i]->chunks == 1 || !ranks.filters[i].send) continue;
      sender->share(static_cast<uint32_t>(i), *boxes[i], deadline);
    }
    backend = std::move(sender);
  });
}

// Phase 5: the node actors wait for the analytics and register with the head actor.
void RayStarter::finalise(const Ranks& ranks, const Deadline& deadline) {
  const auto traced = span("register with the analytics");
  const BlockingWaitNotice noticed(
      options_.wait_notice, deadline, "the analytics to start",
      "Start the Python program that makes the Deisa object, on this cluster of Ray. To run "
      "without analytics, set DEISA_DISABLE=1.");
  agree(ranks.communicator, Ranks::longer(deadline), [&] {
    if (!leads_) return;
    const Plan& plan = ranks.plan;
    const json nodes = json::parse(node_list_);
    const json request = {{"session", session_},
                          {"bridges", plan.ranks_of_node(static_cast<int>(ranks.node()))},
                          {"world_size", ranks.communicator.size()},
                          {"nodes", nodes},
                          {"master_node", nodes.at(static_cast<size_t>(plan.node_of.front()))},
                          {"uniform", plan.uniform},
                          {"limits",
                           {{"threshold", options_.store_threshold},
                            {"max_ahead", options_.max_ahead},
                            {"window", options_.window}}},
                          {"deadline", deadline.seconds()}};
    parse_reply(control_->call(actor_, "deisa_finalise", request.dump(), deadline));
  });
}

void RayStarter::end_lost(std::optional<int64_t> newest) noexcept {
  if (!std::exchange(leads_, false)) return;  // nobody's, or done
  try {
    const auto traced = span("end the session");
    const Deadline deadline = Deadline::after(std::min(options_.ready_timeout, kEndTimeout));
    const json request = {{"session", session_},
                          {"nodes", json::parse(node_list_)},
                          {"node_id", options_.node_id},
                          {"newest", newest ? json(*newest) : json()},
                          {"deadline", deadline.seconds()}};
    start_control();
    control_->connect(deadline);
    const json reply =
        json::parse(control_->run("end_session", request.dump(), deadline), nullptr, false);
    if (reply.is_object() && reply.contains("error")) {
      throw Error(DEISA_ERROR_CONNECTION, reply.at("error").get<std::string>());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr,
                 "deisa: rank %d: the node actor has died, and the analytics could not be told the "
                 "end: %s\ndeisa: end them with deisa-info --clean\n",
                 options_.rank, error.what());
  }
  stop();
}

}  // namespace deisa
