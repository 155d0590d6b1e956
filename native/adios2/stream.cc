#include "adios2/stream.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace deisa::adios {
namespace {

std::string text_of(const std::vector<size_t>& extents) {
  std::string text;
  for (const size_t extent : extents) text += (text.empty() ? "" : ", ") + std::to_string(extent);
  return "(" + text + ")";
}

std::vector<int64_t> signed_of(const std::vector<size_t>& extents) {
  return {extents.begin(), extents.end()};
}

int32_t number(const char* text) { return static_cast<int32_t>(std::strtol(text, nullptr, 10)); }

// What a launcher says about this process, where ADIOS2 has no communicator: rank and size.
struct Launched {
  int32_t rank = -1, size = -1;
};

Launched launched() {
  const char* variables[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                {"PMI_RANK", "PMI_SIZE"},
                                {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}};
  for (const auto& [rank, size] : variables) {
    const char *own = std::getenv(rank), *all = std::getenv(size);
    if (own == nullptr || all == nullptr) continue;
    return {number(own), number(all)};
  }
  return {};
}

bool has_elements(const Block& block) {
  for (const size_t extent : block.count) {
    if (extent == 0) return false;
  }
  return true;
}

size_t bytes_of(const Block& block) {
  size_t bytes = block.element_bytes;
  for (const size_t extent : block.count) bytes *= extent;
  return bytes;
}

[[noreturn]] void raise(deisa_status status, const std::string& message) {
  if (status == DEISA_ERROR_ARGUMENT || status == DEISA_ERROR_CONTRACT) {
    throw std::invalid_argument(message);
  }
  throw std::runtime_error(message);
}

}  // namespace

// Throws what a negative status means; a positive one is dealt with.
template <typename... Parameters, typename... Arguments>
deisa_status Stream::call(deisa_status (*function)(Parameters...), Arguments... arguments) {
  const deisa_status status = function(arguments..., &error_);
  if (status < 0) raise(status, std::string("deisa: ") + error_.message);
  return status;
}

Stream::Stream(const std::map<std::string, std::string>& settings,
               deisa_communicator* communicator) {
  std::vector<std::string> texts;
  for (const auto& [name, value] : settings) texts.push_back(name + "=" + value);
  std::vector<const char*> list;
  for (const std::string& text : texts) list.push_back(text.c_str());
  list.push_back(nullptr);
  deisa_options options = DEISA_OPTIONS_INIT;
  options.settings = list.data();
  options.communicator = communicator;
  int32_t rank = -1;
  if (communicator != nullptr) {
    rank = communicator->rank(communicator->self);
  } else {
    const Launched found = launched();
    rank = options.bridge_id = found.rank;
    options.world_size = found.size;
    const auto given = settings.find("bridge_id");
    if (given != settings.end()) rank = number(given->second.c_str());
    if (const char* set = std::getenv("DEISA_BRIDGE_ID")) rank = number(set);
  }
  warns_ = rank <= 0;
  const deisa_status status = deisa_open(&options, &bridge_, &error_);
  if (status >= 0) return;
  if (communicator != nullptr) communicator->release(communicator->self);
  raise(status, std::string("deisa: ") + error_.message);
}

Stream::~Stream() { deisa_abandon(&bridge_); }

void Stream::begin_step() {
  if (in_step_) {
    throw std::logic_error("deisa: BeginStep in step " + std::to_string(step_) +
                           ", which is open: expected EndStep first (a Put without BeginStep "
                           "begins a step, too)");
  }
  begin();
}

void Stream::begin() {
  if (is_closed_ || bridge_ == nullptr) {
    throw std::logic_error("deisa: a step begins after the engine was closed or has failed");
  }
  // The arrays are not known before the end of the first step.
  if (is_ready_) call(deisa_begin_step, bridge_, step_);
  in_step_ = true;
}

void Stream::require_open_step(const char* call) {
  if (!in_step_) {
    throw std::logic_error(std::string("deisa: ") + call + " without an open step");
  }
}

void Stream::put(const Block& block) {
  if (!in_step_) begin();
  if (!has_elements(block)) return;
  if (is_ready_) {
    hand_over(block);
    return;
  }
  const char* data = static_cast<const char*>(block.data);
  kept_.push_back({block, std::vector<char>(data, data + bytes_of(block))});
}

void Stream::put_later(const Block& block) {
  if (!in_step_) begin();
  if (has_elements(block)) kept_.push_back({block, {}});
}

void Stream::perform_puts() {
  if (!is_ready_) {
    for (Kept& kept : kept_) {
      const char* data = static_cast<const char*>(kept.block.data);
      if (kept.copy.empty()) kept.copy.assign(data, data + bytes_of(kept.block));
    }
    return;
  }
  std::vector<Kept> now;
  now.swap(kept_);
  for (Kept& kept : now) {
    if (!kept.copy.empty()) kept.block.data = kept.copy.data();
    hand_over(kept.block);
  }
}

void Stream::ignore(const std::string& what) {
  if (ignored_.insert(what).second) new_ignored_.insert(what);
}

void Stream::define_arrays() {
  for (const Kept& kept : kept_) {
    const Block& block = kept.block;
    if (arrays_.count(block.name) != 0) continue;  // put twice: refused when it is handed over
    const auto shape = signed_of(block.shape), start = signed_of(block.start),
               count = signed_of(block.count);
    deisa_layout layout = DEISA_LAYOUT_INIT;
    layout.dtype = block.dtype;
    layout.ndim = static_cast<int32_t>(count.size());
    layout.chunk_shape = count.data();
    layout.global_shape = shape.data();
    layout.start = start.data();
    call(deisa_define, bridge_, block.name.c_str(), &layout);
    arrays_[block.name] = {block.dtype, block.shape, block.start, block.count};
  }
}

bool Stream::is_late(const Block& block) {
  if (arrays_.count(block.name) != 0) return false;
  ignore("variable '" + block.name + "', which came after the first step");
  return true;
}

void Stream::hand_over(const Block& block) {
  if (is_late(block)) return;
  const Place& defined = arrays_.at(block.name);
  if (defined.shape != block.shape || defined.start != block.start ||
      defined.count != block.count) {
    throw std::invalid_argument(
        "deisa: variable '" + block.name + "' in step " + std::to_string(step_) + ": shape " +
        text_of(block.shape) + ", start " + text_of(block.start) + ", count " +
        text_of(block.count) + ": expected " + text_of(defined.shape) + ", " +
        text_of(defined.start) + ", " + text_of(defined.count) +
        ", as in the first step: what the analytics get has one shape, and one block per rank");
  }
  call(deisa_put, bridge_, block.name.c_str(), block.data);
}

void Stream::end_step() {
  require_open_step("EndStep");
  in_step_ = false;
  if (!is_ready_) start();
  ++step_;
  try {
    perform_puts();
  } catch (...) {
    deisa_abandon_step(bridge_, nullptr);
    throw;
  }
  warn();
  call(deisa_end_step, bridge_, static_cast<deisa_request*>(nullptr));
}

// The first step: what it puts are the arrays. After a failure there is no bridge any more.
void Stream::start() {
  try {
    define_arrays();
    call(deisa_ready, bridge_);
    is_ready_ = true;
    call(deisa_begin_step, bridge_, step_);
  } catch (...) {
    deisa_abandon(&bridge_);
    throw;
  }
}

void Stream::warn() {
  if (new_ignored_.empty() || !warns_) return;
  std::string names;
  for (const std::string& one : new_ignored_) names += (names.empty() ? "" : "; ") + one;
  new_ignored_.clear();
  std::fprintf(stderr,
               "deisa: the analytics get global arrays that are defined in the first step; these "
               "are not sent: %s\n",
               names.c_str());
}

void Stream::close() {
  if (is_closed_ || bridge_ == nullptr) return;
  is_closed_ = true;
  if (in_step_) end_step();
  // Without any step the analytics wait all the same.
  if (!is_ready_) call(deisa_ready, bridge_);
  call(deisa_close, &bridge_, step_);
}

}  // namespace deisa::adios
