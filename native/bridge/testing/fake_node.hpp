// A node actor without Ray or Python, for tests of the bridge: the real receiver, and answers that
// a test chooses. Control::start is replaced, so that deisa_ready ends here and starts no process.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ipc/node.h"

namespace deisa::testing {

class FakeNode {
 public:
  struct Chunk {
    int bridge_id;
    uint32_t array;
    int64_t timestep;
    std::string bytes;
    uint32_t flags;
  };
  struct Step {
    uint64_t connection;
    uint64_t sequence;
    int bridge_id;
    int64_t timestep;
    std::vector<deisa_node_chunk> chunks;
  };

  FakeNode();
  ~FakeNode();

  // How a step is answered; by default every chunk is stored and announced at once.
  using OnStep = std::function<void(FakeNode&, const Step&)>;
  void on_step(OnStep answer);
  void store_and_announce(const Step& step);
  void store(const Step& step);
  void announce(const Step& step);
  void fail(const Step& step, deisa_status status, const std::string& text, bool free_slots);
  void notice(uint64_t connection, const std::string& text, bool is_final = false);
  void close_all();  // as if the node actor died
  // How a question is answered; by default the gate opens.
  struct Ask {
    uint64_t connection;
    uint64_t sequence;
    int bridge_id;
    int64_t timestep;
    bool waits;
  };
  using OnAsk = std::function<void(FakeNode&, const Ask&)>;
  void on_ask(OnAsk answer);
  // Tells every rank, or the one that asked.
  void open_gate();
  void close_gate(int64_t newest, const std::string& why);
  void answer(const Ask& ask, bool open, int64_t newest, const std::string& why);
  // The newest value of a key; that of a timestep is set under "key@3", all kept ones under "key*". Who
  // waits for it gets it. What ranks that read pickles get is set under "pickle " and this name.
  void set_value(const std::string& key, std::string packed);
  int64_t gets() const { return gets_; }  // how often a rank has asked for a value
  void keep_nothing();                    // of chunks and log, for tests that send much
  // Until this many ranks have left, in all. Gives up after 20 s.
  bool wait_until_left(size_t ranks);

  // What has arrived so far, in order.
  std::vector<Chunk> chunks();
  std::vector<std::string> log();  // one line per event: "STEP 0 t=3 n=2 last", "END t=9", ...
  std::string definition(int bridge_id, uint32_t array);

  // Refused when the first chunk of an array brings it.
  std::string refused_dtype;

  // Replies of the control side; `prepare` fails with this text if it is not empty.
  std::string prepare_error;
  std::string finalise_error;
  std::function<void()> while_finalising;
  std::string last_prepare;
  std::string last_finalise;
  std::string last_end;  // how the session was ended when this node actor had died
  const std::string& path() const { return path_; }

 private:
  void serve();
  void handle(const deisa_node_event& event);
  void tell(uint64_t connection, uint64_t sequence, bool open, int64_t newest,
            const std::string& why);
  void leave(const deisa_node_event& event);

  std::string path_;
  deisa_node_receiver* receiver_ = nullptr;
  std::mutex mutex_;
  OnStep on_step_;
  OnAsk on_ask_;
  std::vector<Chunk> chunks_;
  std::vector<std::string> log_;
  std::map<std::pair<int, uint32_t>, std::string> definitions_;
  struct Asked {
    uint64_t connection;
    uint64_t sequence;
    std::string name;
  };
  void give(const Asked& asked, bool kept);
  std::map<std::string, std::string> values_;
  std::vector<Asked> waiting_;  // for a value
  std::atomic<int64_t> gets_{0};
  std::set<uint64_t> connections_;
  std::set<uint64_t> welcomed_;
  std::set<uint64_t> pickled_;  // those that read feedback as pickles
  size_t left_ = 0;
  std::condition_variable changed_;
  bool keeps_ = true;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// How many of the Controls that a test's bridges have started are there.
int controls();

// The node that Control leads to: the one with this node_id, "" for the default.
void set_node(const std::string& node_id, FakeNode* node);

}  // namespace deisa::testing
