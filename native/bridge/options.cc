#include "bridge/options.hpp"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>

#include "bridge/problems.hpp"

namespace deisa {
namespace {

// One option at a time: the caller's value, replaced by the environment's, then checked.
class Resolver {
 public:
  Resolver(Environment environment, Problems& problems)
      : environment_(environment), problems_(problems) {}

  std::string text(const char* variable, const char* given, const char* otherwise) const {
    if (const char* value = variable_of(variable)) return value;
    return given != nullptr && *given != '\0' ? given : otherwise;
  }

  int integer(const char* name, const char* variable, int64_t given, int64_t least, int64_t most,
              const char* expected) {
    int64_t value = given;
    std::string source;
    if (const char* text = variable_of(variable)) {
      char* end = nullptr;
      errno = 0;
      value = std::strtoll(text, &end, 10);
      if (errno != 0 || end == text || *end != '\0') {
        problems_.add(std::string(name) + " = '" + text + "' (from " + variable + "): expected " +
                      expected);
        return static_cast<int>(least);
      }
      source = std::string(" (from ") + variable + ")";
    }
    if (value < least || value > most) {
      problems_.add(std::string(name) + " = " + std::to_string(value) + source + ": expected " +
                    expected);
      return static_cast<int>(least);
    }
    return static_cast<int>(value);
  }

  double seconds(const char* name, const char* variable, double given) {
    return real(
        name, variable, given, [](double value) { return value > 0 && !std::isinf(value); },
        "seconds, more than 0");
  }

  // `valid` is never given what is no number.
  double real(const char* name, const char* variable, double given, bool (*valid)(double),
              const char* expected) {
    double value = given;
    std::string shown = std::to_string(given);
    if (const char* text = variable_of(variable)) {
      char* end = nullptr;
      value = std::strtod(text, &end);
      shown = std::string("'") + text + "' (from " + variable + ")";
      if (end == text || *end != '\0') value = std::numeric_limits<double>::quiet_NaN();
    }
    if (std::isnan(value) || !valid(value)) {
      problems_.add(std::string(name) + " = " + shown + ": expected " + expected);
      return 1.0;
    }
    return value;
  }

  template <typename Enum>
  Enum choice(const char* name, const char* variable, Enum given,
              const std::map<std::string, Enum>& choices) {
    std::string expected = "one of";
    for (const auto& [word, value] : choices) expected += " " + word;
    if (const char* text = variable_of(variable)) {
      const auto it = choices.find(text);
      if (it != choices.end()) return it->second;
      problems_.add(std::string(name) + " = '" + text + "' (from " + variable + "): expected " +
                    expected);
      return given;
    }
    for (const auto& [word, value] : choices) {
      if (value == given) return given;
    }
    problems_.add(std::string(name) + " = " + std::to_string(static_cast<int>(given)) +
                  ": expected " + expected);
    return given;
  }

 private:
  const char* variable_of(const char* name) const {
    const char* value = environment_(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
  }
  Environment environment_;
  Problems& problems_;
};

// The rank and size of a communicator that was given; checks the table before it is called.
void adopt_communicator(const deisa_communicator& table, Options& options, Problems& problems) {
  if (table.struct_size < sizeof(deisa_communicator)) {
    problems.add("communicator: struct_size = " + std::to_string(table.struct_size) +
                 ": expected sizeof(deisa_communicator), " +
                 std::to_string(sizeof(deisa_communicator)));
    return;
  }
  if (!table.rank || !table.size || !table.barrier || !table.gather || !table.broadcast) {
    problems.add(
        "communicator: a function is NULL: expected rank, size, barrier, gather and broadcast");
    return;
  }
  const int rank = table.rank(table.self);
  const int size = table.size(table.self);
  if (size < 1 || rank < 0 || rank >= size) {
    problems.add("communicator: rank " + std::to_string(rank) + " of " + std::to_string(size) +
                 ": expected 0 <= rank < size");
    return;
  }
  if (options.bridge_id == -1) options.bridge_id = rank;
  if (options.world_size == -1) options.world_size = size;
  if (options.bridge_id != rank) {
    problems.add("bridge_id = " + std::to_string(options.bridge_id) +
                 ": expected the communicator's rank, " + std::to_string(rank));
  }
  if (options.world_size != size) {
    problems.add("world_size = " + std::to_string(options.world_size) +
                 ": expected the communicator's size, " + std::to_string(size));
  }
  options.communicator = table;
}

}  // namespace

bool is_disabled(Environment environment) {
  const char* value = environment("DEISA_DISABLE");
  if (value == nullptr) return false;
  for (const char* yes : {"1", "true", "yes", "on", "TRUE", "True", "ON"}) {
    if (std::strcmp(value, yes) == 0) return true;
  }
  return false;
}

Options resolve_options(const deisa_options& given, Environment environment) {
  if (given.struct_size < sizeof(deisa_options)) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "options: struct_size = " + std::to_string(given.struct_size) + ": expected " +
                    std::to_string(sizeof(deisa_options)) +
                    "; start from DEISA_OPTIONS_INIT, and compile with this library's deisa.h");
  }
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  Problems problems;
  Resolver resolve(environment, problems);
  Options options;
  options.bridge_id = resolve.integer("bridge_id", "DEISA_BRIDGE_ID", given.bridge_id, -1, kMost,
                                      "0 ... world_size - 1, or -1 for the communicator's rank");
  options.world_size = resolve.integer("world_size", "DEISA_WORLD_SIZE", given.world_size, -1,
                                       kMost, "at least 1, or -1 for the communicator's size");
  if (options.world_size == 0) {
    problems.add("world_size = 0: expected at least 1, or -1 for the communicator's size");
    options.world_size = 1;
  }
  options.master_address = resolve.text("DEISA_MASTER_ADDRESS", given.master_address, "127.0.0.1");
  options.master_port =
      resolve.integer("master_port", "DEISA_MASTER_PORT",
                      given.master_port == -1 ? 29400 : given.master_port, 1, 65535, "1 ... 65535");
  options.ray_address = resolve.text("DEISA_RAY_ADDRESS", given.ray_address, "");
  options.comm_timeout = resolve.seconds("comm_timeout", "DEISA_COMM_TIMEOUT", given.comm_timeout);
  options.ready_timeout =
      resolve.seconds("ready_timeout", "DEISA_READY_TIMEOUT", given.ready_timeout);
  options.send_timeout = resolve.seconds("send_timeout", "DEISA_SEND_TIMEOUT", given.send_timeout);
  options.node_id = resolve.text("DEISA_NODE_ID", given.node_id, "");
  options.node_actor = resolve.text("DEISA_NODE_ACTOR", given.node_actor, "");
  options.init_retries = resolve.integer("init_retries", "DEISA_INIT_RETRIES", given.init_retries,
                                         1, 1000, "1 ... 1000");
  options.acknowledge = resolve.choice<deisa_acknowledge>(
      "acknowledge", "DEISA_ACKNOWLEDGE", given.acknowledge,
      {{"received", DEISA_RECEIVED}, {"stored", DEISA_STORED}, {"announced", DEISA_ANNOUNCED}});
  options.max_in_flight = resolve.integer("max_in_flight", "DEISA_MAX_IN_FLIGHT",
                                          given.max_in_flight, 1, 1024, "1 ... 1024");
  options.when_full = resolve.choice<deisa_when_full>(
      "when_full", "DEISA_WHEN_FULL", given.when_full,
      {{"block", DEISA_FULL_BLOCK}, {"drop", DEISA_FULL_DROP}, {"fail", DEISA_FULL_FAIL}});
  options.block_timeout = resolve.real(
      "block_timeout", "DEISA_BLOCK_TIMEOUT", given.block_timeout,
      [](double value) { return (value >= 0 || value == -1) && !std::isinf(value); },
      "seconds, at least 0, or -1 for send_timeout with when_full = block and else 0");
  if (options.block_timeout == -1) {
    options.block_timeout = options.when_full == DEISA_FULL_BLOCK ? options.send_timeout : 0;
  }
  options.store_threshold = resolve.real(
      "store_threshold", "DEISA_STORE_THRESHOLD", given.store_threshold,
      [](double value) { return value > 0 && value <= 1; }, "more than 0, at most 1");
  options.max_ahead = resolve.integer("max_ahead", "DEISA_MAX_AHEAD", given.max_ahead, 0, kMost,
                                      "at least 1, or 0 for no limit");
  options.window = resolve.integer("window", "DEISA_WINDOW", given.window, 1, kMost, "at least 1");
  options.error_mode = resolve.choice<deisa_error_mode>(
      "error_mode", "DEISA_ERRORS", given.error_mode,
      {{"report", DEISA_ERRORS_REPORT}, {"raise", DEISA_ERRORS_RAISE}});
  options.error_handler = given.error_handler;
  options.error_handler_data = given.error_handler_data;

  if (given.communicator != nullptr) {
    adopt_communicator(*given.communicator, options, problems);
  } else {
    if (options.world_size == -1) options.world_size = options.bridge_id <= 0 ? 1 : -1;
    if (options.world_size == -1) {
      problems.add("world_size is missing: expected the number of bridges, since bridge_id = " +
                   std::to_string(options.bridge_id) + " and no communicator is given");
    }
    if (options.bridge_id == -1) {
      options.bridge_id = 0;
      if (options.world_size > 1) {
        problems.add("bridge_id is missing: expected 0 ... " +
                     std::to_string(options.world_size - 1) + ", since no communicator is given");
      }
    }
  }
  if (options.world_size >= 1 && options.bridge_id >= options.world_size) {
    problems.add("bridge_id = " + std::to_string(options.bridge_id) +
                 ": expected less than world_size, " + std::to_string(options.world_size));
  }
  problems.raise(DEISA_ERROR_ARGUMENT, "invalid options:");
  return options;
}

}  // namespace deisa
