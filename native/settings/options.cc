#include "settings/options.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/json_text.hpp"
#include "control/cluster.hpp"
#include "settings/setting_value.hpp"

namespace deisa {
namespace {

// The size of a deisa_options of 0.2.0, which has no `settings`.
constexpr size_t kLeastOptions = offsetof(deisa_options, settings);

// The program's settings that are given as text, by name.
std::map<std::string, std::string> settings_of(const deisa_options& given, Problems& problems) {
  std::map<std::string, std::string> texts;
  if (given.struct_size <= kLeastOptions || given.settings == nullptr) return texts;
  for (const char* const* one = given.settings; *one != nullptr; ++one) {
    const std::string text = *one;
    const size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    if (equals == std::string::npos) {
      problems.add("settings: '" + text + "': expected name=value");
    } else if (!is_setting(name)) {
      problems.add("settings: '" + text + "': there is no such setting: expected " +
                   known_settings(name));
    } else if (!texts.emplace(name, text.substr(equals + 1)).second) {
      problems.add("settings: " + name + " is there twice: expected each once");
    }
  }
  return texts;
}

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

// Everything but what follows from the communicator.
Options read_settings(const deisa_options& given, Environment environment, Problems& problems) {
  const char* config = environment("DEISA_CONFIG");
  const SettingsFile file(config != nullptr ? config : "", problems);
  const auto texts = settings_of(given, problems);
  const Resolver resolve(environment, file, texts, problems);
  Options options;
  options.config = file.path();
  options.filters = file.filters();
  options.bridge_id = resolve.integer("bridge_id", given.bridge_id);
  options.world_size = resolve.integer("world_size", given.world_size);
  if (options.world_size == 0) {
    problems.add("world_size = 0: expected at least 1, or -1 for the communicator's size");
    options.world_size = 1;
  }
  options.master_address = resolve.text("master_address", given.master_address, "127.0.0.1");
  options.master_port =
      resolve.integer("master_port", given.master_port == -1 ? 29400 : given.master_port);
  options.ray_address = resolve.text("ray_address", given.ray_address, "");
  options.comm_timeout = resolve.number("comm_timeout", given.comm_timeout);
  options.ready_timeout = resolve.number("ready_timeout", given.ready_timeout);
  options.send_timeout = resolve.number("send_timeout", given.send_timeout);
  options.node_id = resolve.text("node_id", given.node_id, "");
  options.node_actor = resolve.text("node_actor", given.node_actor, "");
  options.init_retries = resolve.integer("init_retries", given.init_retries);
  options.acknowledge = resolve.choice("acknowledge", given.acknowledge);
  options.max_in_flight = resolve.integer("max_in_flight", given.max_in_flight);
  options.when_full = resolve.choice("when_full", given.when_full);
  options.block_timeout = resolve.number("block_timeout", given.block_timeout);
  if (options.block_timeout == -1) {
    options.block_timeout = options.when_full == DEISA_WHEN_FULL_BLOCK ? options.send_timeout : 0;
  }
  options.store_threshold = resolve.number("store_threshold", given.store_threshold);
  options.max_ahead = resolve.integer("max_ahead", given.max_ahead);
  options.window = resolve.integer("window", given.window);
  options.feedback_interval = resolve.number("feedback_interval", given.feedback_interval);
  options.error_mode = resolve.choice("error_mode", given.error_mode);
  options.error_handler = given.error_handler;
  options.error_handler_data = given.error_handler_data;
  options.backend = resolve.choice("backend", BackendKind::kRay);
  options.control = resolve.choice("control", ControlKind::kAuto);
  options.aggregate = resolve.choice("aggregate", Aggregate::kNone);
  options.file_folder = resolve.text("file_folder", nullptr, "deisa-files");
  options.statistics = resolve.on("status", false);
  options.wait_notice = resolve.number("wait_notice", 5);
  options.announce_delay = resolve.number("announce_delay", 0);
  options.places = resolve.places();
  const char* address = environment("RAY_ADDRESS");
  const bool ray_finds_it = options.backend == BackendKind::kRay && options.ray_address.empty();
  if (address != nullptr && ray_finds_it) {
    const std::string why = why_no_address(address);
    if (!why.empty()) {
      problems.add("RAY_ADDRESS = '" + std::string(address) + "' " + why + ": expected " +
                   setting("ray_address").expected);
    }
  }
  return options;
}

}  // namespace

bool is_disabled(Environment environment) {
  Problems problems;
  const SettingsFile none;
  const bool disabled = Resolver(environment, none, {}, problems).on("DEISA_DISABLE", false);
  refuse_invalid_options(problems);
  return disabled;
}

std::string Options::place(const std::string& variable) const {
  const auto found = places.find(variable);
  return found != places.end() ? found->second : "";
}

std::map<std::string, std::string> Options::alike() const {
  const auto word = [](const char* name, int value) {
    return choices(setting(name))[static_cast<size_t>(value)];
  };
  return {{"when_full", word("when_full", when_full)},
          {"block_timeout", nlohmann::json(block_timeout).dump()},
          {"store_threshold", nlohmann::json(store_threshold).dump()},
          {"max_ahead", std::to_string(max_ahead)},
          {"window", std::to_string(window)},
          {"backend", word("backend", static_cast<int>(backend))},
          {"arrays", filters.text()}};
}

std::vector<std::string> problems_of_settings(Environment environment) {
  Problems problems;
  try {
    if (is_disabled(environment)) return {};
  } catch (const Error& error) {
    problems.add(error.what());
  }
  const deisa_options nothing = DEISA_OPTIONS_INIT;
  read_settings(nothing, environment, problems);
  return problems.texts();
}

void refuse_invalid_options(const Problems& problems) {
  problems.raise(DEISA_ERROR_ARGUMENT, "invalid options:");
}

Options resolve_options(const deisa_options& given, Environment environment) {
  Problems problems;
  Options options = read_options(given, environment, problems);
  refuse_invalid_options(problems);
  return options;
}

Options read_options(const deisa_options& given, Environment environment, Problems& problems) {
  if (given.struct_size < kLeastOptions) {
    throw Error(DEISA_ERROR_ARGUMENT,
                "options: struct_size = " + std::to_string(given.struct_size) + ": expected " +
                    std::to_string(sizeof(deisa_options)) +
                    "; start from DEISA_OPTIONS_INIT, and compile with this library's deisa.h");
  }
  Options options = read_settings(given, environment, problems);
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
  return options;
}

}  // namespace deisa
