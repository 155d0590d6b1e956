// The C ABI: arguments checked, calls serialised, exceptions turned into statuses.
#include <cstddef>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "capi/assembly.hpp"
#include "capi/call.hpp"
#include "settings/misspelt.hpp"

using deisa::Bridge;
using deisa::Error;
using deisa::guarded;
using deisa::is_disabled;
using deisa::is_the_callers_fault;
using deisa::no_bridge;
using deisa::on_bridge;
using deisa::on_disabled;
using deisa::reported;
using deisa::require;
using deisa::require_size;

namespace {

const char* read_environment(const char* name) { return std::getenv(name); }

}  // namespace

extern "C" {

deisa_status deisa_open(const deisa_options* options, deisa_bridge** out, deisa_error* error) {
  if (out != nullptr) *out = nullptr;
  return guarded(error, [&] {
    require(out, "out");
    auto handle = std::make_unique<deisa_bridge>();
    if (!deisa::is_disabled(&read_environment)) {
      const deisa_options defaults = DEISA_OPTIONS_INIT;
      deisa::Problems problems;
      const deisa::Options resolved = deisa::read_options(options != nullptr ? *options : defaults,
                                                          &read_environment, problems);
      try {
        deisa::refuse_invalid_options(problems);
        handle->reporter = std::make_unique<deisa::Reporter>(
            resolved.error_mode, resolved.error_handler, resolved.error_handler_data);
        if (resolved.bridge_id == 0) deisa::warn_of_unknown_variables();
        handle->bridge = deisa::make_bridge(resolved);
      } catch (const std::exception& failure) {
        // The others come to a rendezvous that never will be.
        if (auto refusal =
                refuse_others(deisa::bridge_options(resolved), deisa::as_error(failure))) {
          keep_refusal(std::move(refusal));
        }
        throw;
      }
      if (resolved.bridge_id == 0) deisa::keep_refusal(nullptr);
    } else if (options != nullptr && options->struct_size >= offsetof(deisa_options, settings) &&
               options->communicator != nullptr &&
               options->communicator->struct_size >= sizeof(deisa_communicator)) {
      handle->unused_communicator = *options->communicator;
    }
    *out = handle.release();
    return DEISA_OK;
  });
}

deisa_status deisa_define(deisa_bridge* bridge, const char* name, const deisa_layout* layout,
                          deisa_error* error) {
  if (is_disabled(bridge)) {
    return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
      if (name != nullptr && layout != nullptr) disabled.define(name, *layout);
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(layout, "layout");
    try {
      require_size(*layout, "layout", "DEISA_LAYOUT_INIT", deisa::kLeastLayout);
      open.define({{name, deisa::metadata_from_layout(*layout)}});
    } catch (Error& e) {
      throw e.at_array(name);
    }
    return DEISA_OK;
  });
}

deisa_status deisa_define_json(deisa_bridge* bridge, const char* arrays_metadata,
                               deisa_error* error) {
  if (is_disabled(bridge)) {
    return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
      if (arrays_metadata != nullptr) disabled.define(arrays_metadata);
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(arrays_metadata, "arrays_metadata");
    deisa::Problems problems;
    const nlohmann::json parsed = deisa::parse_arrays(arrays_metadata, problems);
    open.define(parsed, std::move(problems));
    return DEISA_OK;
  });
}

deisa_status deisa_ready(deisa_bridge* bridge, deisa_error* error) {
  return on_bridge(bridge, error, [&](Bridge& open) {
    open.ready();
    return DEISA_OK;
  });
}

deisa_status deisa_close(deisa_bridge** bridge, int64_t timestep, deisa_error* error) {
  if (bridge == nullptr || *bridge == nullptr) return DEISA_OK;
  if (deisa::is_inherited(**bridge)) {
    const deisa_status status = deisa::write_error(deisa::inherited(**bridge), error);
    *bridge = nullptr;
    return status;
  }
  bool told = false;
  deisa_status status = reported(*bridge, error, [&](Bridge& open) -> deisa_status {
    open.close(timestep, [&](std::vector<deisa::Error> late) {
      const size_t before = late.size();
      for (const Error& one : late) {
        const bool is_now = (*bridge)->reporter->mode() == DEISA_ERRORS_REPORT;
        if (is_now && !is_the_callers_fault(one.status())) open.count_error(one);
      }
      late = (*bridge)->reporter->report_now(std::move(late), told ? nullptr : error);
      told = told || late.size() < before;
      open.keep_late_failures(std::move(late));
    });
    return told ? DEISA_REPORTED : DEISA_OK;
  });
  // A call that was refused has done nothing; every other one has ended the bridge.
  const bool refused = is_the_callers_fault(status) && !(*bridge)->bridge->is_closed();
  if (!refused) {
    if ((*bridge)->reporter) {
      const deisa_status counted =
          (*bridge)->reporter->conclude(status == DEISA_OK ? error : nullptr);
      if (status == DEISA_OK) status = counted;
    }
    delete *bridge;
    *bridge = nullptr;
  }
  return status;
}

void deisa_abandon(deisa_bridge** bridge) {
  if (bridge == nullptr || *bridge == nullptr) return;
  // Bridge's destructor abandons. A forked child leaves its copy as it is.
  if (!deisa::is_inherited(**bridge)) {
    if ((*bridge)->reporter) (*bridge)->reporter->conclude(nullptr);
    delete *bridge;
  }
  *bridge = nullptr;
}

deisa_status deisa_get_statistics(deisa_bridge* bridge, deisa_statistics* out, deisa_error* error) {
  return guarded(error, [&] {
    if (bridge == nullptr) throw no_bridge();
    require(out, "out");
    require_size(*out, "statistics", "DEISA_STATISTICS_INIT");
    deisa_statistics now = DEISA_STATISTICS_INIT;
    if (bridge->bridge) {
      if (deisa::is_inherited(*bridge)) throw deisa::inherited(*bridge);
      std::lock_guard<std::mutex> lock(bridge->mutex);
      now = bridge->bridge->statistics();
    }
    *out = now;
    return DEISA_OK;
  });
}

}  // extern "C"
