#include "bridge/testing/fake_node.hpp"

#include <unistd.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "control/control.hpp"

namespace deisa {
namespace testing {
namespace {

using nlohmann::json;

std::mutex nodes_mutex;
std::map<std::string, FakeNode*>& nodes() {
  static std::map<std::string, FakeNode*> all;
  return all;
}

std::atomic<int> alive{0};

// In the place of the control process: leads to the FakeNode that the request names.

class FakeControl : public Control {
 public:
  FakeControl() { ++alive; }
  ~FakeControl() override { --alive; }
  std::string wait_until_loaded(const Deadline&) override { return "a test's"; }
  void connect(const Deadline&) override {}
  std::string run(const std::string& function, const std::string& request,
                  const Deadline&) override {
    const std::string node_id = json::parse(request).at("node_id").get<std::string>();
    std::lock_guard<std::mutex> lock(nodes_mutex);
    node_ = nodes().at(node_id);
    if (function == "end_session") {
      node_->last_end += request;
      return R"({"ended": true})";
    }
    node_->last_prepare = request;
    if (!node_->prepare_error.empty()) {
      return json{{"error", node_->prepare_error}, {"kind", "connection"}}.dump();
    }
    return json{{"actor", "sched-" + node_id}, {"node_id", node_id}, {"socket", node_->path()}}
        .dump();
  }
  std::string call(const std::string&, const std::string&, const std::string& request,
                   const Deadline&) override {
    node_->last_finalise = request;
    if (node_->while_finalising) node_->while_finalising();
    if (!node_->finalise_error.empty()) {
      return json{{"error", node_->finalise_error}, {"kind", "timeout"}}.dump();
    }
    return "{}";
  }

 private:
  FakeNode* node_ = nullptr;
};

}  // namespace

int controls() { return alive; }

void set_node(const std::string& node_id, FakeNode* node) {
  std::lock_guard<std::mutex> lock(nodes_mutex);
  nodes()[node_id] = node;
}

FakeNode::FakeNode() {
  static std::atomic<int> count{0};
  path_ = "/tmp/deisa-fake-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
  char message[256];
  if (deisa_node_open(path_.c_str(), &receiver_, message, sizeof(message)) != DEISA_OK) {
    throw std::runtime_error(message);
  }
  on_step_ = [](FakeNode& node, const Step& step) { node.store_and_announce(step); };
  on_ask_ = [](FakeNode& node, const Ask& ask) { node.answer(ask, true, DEISA_NO_TIMESTEP, ""); };
  thread_ = std::thread([this] { serve(); });
}

FakeNode::~FakeNode() {
  stop_ = true;
  deisa_node_stop(receiver_);
  thread_.join();
  deisa_node_destroy(receiver_);
}

void FakeNode::on_step(OnStep answer) {
  std::lock_guard<std::mutex> lock(mutex_);
  on_step_ = std::move(answer);
}

void FakeNode::store(const Step& step) {
  for (const deisa_node_chunk& chunk : step.chunks) {
    deisa_node_stored(receiver_, step.connection, step.sequence, chunk.array, chunk.slot);
  }
}

void FakeNode::announce(const Step& step) {
  for (const deisa_node_chunk& chunk : step.chunks) {
    deisa_node_announced(receiver_, step.connection, step.sequence, chunk.array);
  }
}

void FakeNode::store_and_announce(const Step& step) {
  store(step);
  announce(step);
}

void FakeNode::fail(const Step& step, deisa_status status, const std::string& text,
                    bool free_slots) {
  for (const deisa_node_chunk& chunk : step.chunks) {
    deisa_node_failed(receiver_, step.connection, step.sequence, chunk.array,
                      free_slots ? chunk.slot : DEISA_NODE_NONE, status, step.timestep, text.data(),
                      text.size());
  }
}

void FakeNode::notice(uint64_t connection, const std::string& text, bool is_final) {
  (is_final ? deisa_node_final_notice : deisa_node_notice)(
      receiver_, connection, DEISA_ERROR_CONNECTION, text.data(), text.size());
}

void FakeNode::close_all() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const uint64_t connection : connections_) deisa_node_close(receiver_, connection);
}

void FakeNode::on_ask(OnAsk answer) {
  std::lock_guard<std::mutex> lock(mutex_);
  on_ask_ = std::move(answer);
}

void FakeNode::tell(uint64_t connection, uint64_t sequence, bool open, int64_t newest,
                    const std::string& why) {
  deisa_node_gate(receiver_, connection, sequence, open ? 1 : 0, newest, why.data(), why.size());
}

void FakeNode::open_gate() {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const uint64_t connection : connections_) tell(connection, 0, true, DEISA_NO_TIMESTEP, "");
}

void FakeNode::close_gate(int64_t newest, const std::string& why) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (const uint64_t connection : connections_) tell(connection, 0, false, newest, why);
}

void FakeNode::answer(const Ask& ask, bool open, int64_t newest, const std::string& why) {
  tell(ask.connection, ask.sequence, open, newest, why);
}

void FakeNode::set_value(const std::string& key, std::string packed) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::string& value = values_[key] = std::move(packed);
  for (const uint64_t connection : connections_) {
    deisa_node_changed(receiver_, connection, DEISA_OK, key.data(), key.size(), value.data(),
                       value.size());
  }
  for (const Asked& asked : std::exchange(waiting_, {})) {
    if (asked.name == key) {
      give(asked, false);
    } else {
      waiting_.push_back(asked);
    }
  }
}

void FakeNode::give(const Asked& asked, bool kept) {
  const auto it = values_.find(asked.name);
  const bool found = it != values_.end();
  deisa_node_value(receiver_, asked.connection, asked.sequence, found ? DEISA_OK : DEISA_NOT_FOUND,
                   kept ? 1 : 0, found ? it->second.data() : nullptr,
                   found ? it->second.size() : 0);
}

void FakeNode::keep_nothing() {
  std::lock_guard<std::mutex> lock(mutex_);
  keeps_ = false;
}

bool FakeNode::wait_until_left(size_t ranks) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return left_ >= ranks; });
}

std::vector<FakeNode::Chunk> FakeNode::chunks() {
  std::lock_guard<std::mutex> lock(mutex_);
  return chunks_;
}

std::vector<std::string> FakeNode::log() {
  std::lock_guard<std::mutex> lock(mutex_);
  return log_;
}

std::string FakeNode::definition(int bridge_id, uint32_t array) {
  std::lock_guard<std::mutex> lock(mutex_);
  return definitions_.at({bridge_id, array});
}

void FakeNode::serve() {
  while (!stop_) {
    deisa_node_event event;
    if (deisa_node_next(receiver_, &event, 100) == DEISA_OK) handle(event);
  }
}

void FakeNode::handle(const deisa_node_event& event) {
  const std::string who = " " + std::to_string(event.bridge_id);
  const std::string when = " t=" + std::to_string(event.timestep);
  const auto text = [&] {
    return std::string(static_cast<const char*>(event.payload), event.count);
  };
  std::unique_lock<std::mutex> lock(mutex_);
  switch (event.kind) {
    case DEISA_NODE_HELLO:
      connections_.insert(event.connection);
      if (json::parse(text()).value("pickles", false)) pickled_.insert(event.connection);
      break;
    case DEISA_NODE_DEFINE: {
      std::string& definition = definitions_[{event.bridge_id, event.array}];
      if (welcomed_.count(event.connection) == 0) {
        definition = text();
        break;
      }
      // The dtype has become known.
      json all = json::parse(definition);
      all.update(json::parse(text()));
      definition = all.dump();
      const bool refused = all.at("dtype") == refused_dtype;
      const std::string why = refused ? "another rank has another dtype" : "";
      deisa_node_done(receiver_, event.connection, event.sequence,
                      refused ? DEISA_ERROR_CONTRACT : DEISA_OK, why.data(), why.size());
      break;
    }
    case DEISA_NODE_READY:
      log_.push_back("READY" + who);
      welcomed_.insert(event.connection);
      deisa_node_welcome(receiver_, event.connection, event.sequence);
      break;
    case DEISA_NODE_STEP: {
      Step step{event.connection, event.sequence, event.bridge_id, event.timestep, {}};
      const auto* items = static_cast<const deisa_node_chunk*>(event.payload);
      step.chunks.assign(items, items + event.count);
      for (const deisa_node_chunk& chunk : step.chunks) {
        if (!keeps_) break;
        chunks_.push_back({event.bridge_id, chunk.array, event.timestep,
                           std::string(reinterpret_cast<const char*>(chunk.address), chunk.bytes),
                           event.flags});
      }
      log_.push_back("STEP" + who + when + " n=" + std::to_string(event.count) +
                     (event.flags & 1u ? " last" : ""));
      const OnStep answer = on_step_;
      lock.unlock();
      answer(*this, step);
      break;
    }
    case DEISA_NODE_PROGRESS:
      log_.push_back("PROGRESS" + who + when);
      break;
    case DEISA_NODE_ASK: {
      log_.push_back("ASK" + who + when + (event.flags & 1u ? " waits" : ""));
      const Ask ask{event.connection, event.sequence, event.bridge_id, event.timestep,
                    (event.flags & 1u) != 0};
      const OnAsk answer = on_ask_;
      lock.unlock();
      answer(*this, ask);
      break;
    }
    case DEISA_NODE_GET: {
      ++gets_;
      const bool pickled = pickled_.count(event.connection) > 0;
      Asked asked{event.connection, event.sequence, (pickled ? "pickle " : "") + text()};
      if (event.flags != 0) asked.name += "*";
      if (event.timestep != DEISA_NO_TIMESTEP) asked.name += "@" + std::to_string(event.timestep);
      const bool plain = asked.name == text() && event.value == 0;  // a pickle is never kept
      if (event.value > 0 && values_.count(asked.name) == 0) {
        waiting_.push_back(asked);
      } else {
        give(asked, plain);
      }
      break;
    }
    case DEISA_NODE_DELETE:
      values_.erase(text());
      values_.erase("pickle " + text());
      deisa_node_changed(receiver_, event.connection, DEISA_NOT_FOUND, text().data(), text().size(),
                         nullptr, 0);
      deisa_node_done(receiver_, event.connection, event.sequence, DEISA_OK, nullptr, 0);
      break;
    case DEISA_NODE_END:
      log_.push_back("END" + who + when);
      deisa_node_announced(receiver_, event.connection, event.sequence, DEISA_NODE_NONE);
      break;
    case DEISA_NODE_BYE:
      log_.push_back("BYE" + who + (event.flags & 1u ? " closed" : " abandoned"));
      leave(event);
      break;
    case DEISA_NODE_LOST:
      log_.push_back("LOST" + who);
      leave(event);
      break;
    default:
      break;
  }
  if (!keeps_) log_.clear();
}

void FakeNode::leave(const deisa_node_event& event) {
  deisa_node_release(receiver_, event.connection);
  for (auto* of_connections : {&connections_, &welcomed_, &pickled_}) {
    of_connections->erase(event.connection);
  }
  ++left_;
  changed_.notify_all();
}

}  // namespace testing

std::unique_ptr<Control> Control::start(const Settings&) {
  return std::make_unique<testing::FakeControl>();
}

}  // namespace deisa
