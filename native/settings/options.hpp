// The options of a bridge: what the caller gave, over which its settings as text, the settings file
// and then the environment take precedence.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "chunk/filters.hpp"
#include "control/control.hpp"
#include "deisa/deisa.h"
#include "settings/settings_file.hpp"

namespace deisa {

// Reads the environment variable `name`; nullptr if it is not set.
using Environment = const char* (*)(const char* name);

// Where chunks go; in the order of the words of the setting `backend`.
enum class BackendKind { kRay, kNull, kFile };

struct Options {
  int bridge_id = 0;
  int world_size = 1;
  std::string master_address;
  int master_port = 0;
  std::string ray_address;  // "": found at connect
  std::optional<deisa_communicator> communicator;
  double comm_timeout = 0;
  double ready_timeout = 0;
  double send_timeout = 0;
  std::string node_id;
  std::string node_actor;
  int init_retries = 0;
  deisa_acknowledge acknowledge = DEISA_ACK_RECEIVED;
  int max_in_flight = 0;
  deisa_when_full when_full = DEISA_WHEN_FULL_BLOCK;
  double block_timeout = 0;  // seconds, resolved: never -1
  double store_threshold = 0;
  int max_ahead = 0;
  int window = 0;
  double feedback_interval = 0;  // seconds
  deisa_error_mode error_mode = DEISA_ERRORS_REPORT;
  deisa_error_handler error_handler = nullptr;
  void* error_handler_data = nullptr;

  // From the settings file.
  std::string config;    // its path; "": none
  ArrayFilters filters;  // which arrays are sent, and how often

  // From the settings file or the environment.
  BackendKind backend = BackendKind::kRay;
  ControlKind control = ControlKind::kAuto;
  Aggregate aggregate = Aggregate::kNone;  // arrays that do not say it themselves
  std::string file_folder;
  bool statistics = false;
  double wait_notice = 0;     // seconds
  double announce_delay = 0;  // seconds
  // By variable: see place().
  std::map<std::string, std::string> places;

  // A setting of the group "where things are found", by its variable; "" if nobody set it.
  std::string place(const std::string& variable) const;
  // Those about which all ranks must agree, in words.
  std::map<std::string, std::string> alike() const;
};

// Adds every invalid option and setting to `problems`. Throws Error(DEISA_ERROR_ARGUMENT) only if
// `given` is not this library's struct.
Options read_options(const deisa_options& given, Environment environment, Problems& problems);
// Throws Error(DEISA_ERROR_ARGUMENT) that lists them.
void refuse_invalid_options(const Problems& problems);
// Both.
Options resolve_options(const deisa_options& given, Environment environment);

// What is wrong with the environment and its settings file, whatever a program gives.
std::vector<std::string> problems_of_settings(Environment environment);

// DEISA_DISABLE=1 (also true, yes, on). Throws Error(DEISA_ERROR_ARGUMENT) if it is no such word.
bool is_disabled(Environment environment);

}  // namespace deisa
