// The C ABI: arguments checked, calls serialised, exceptions turned into statuses.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "capi/call.hpp"
#include "settings/misspelt.hpp"

using deisa::Bridge;
using deisa::Error;
using deisa::guarded;
using deisa::is_disabled;
using deisa::is_the_callers_fault;
using deisa::kFirstLayoutSize;
using deisa::kFirstStatusSize;
using deisa::known_part;
using deisa::no_bridge;
using deisa::on_bridge;
using deisa::on_disabled;
using deisa::reported;
using deisa::reported_alone;
using deisa::require;
using deisa::Source;

namespace {

const char* read_environment(const char* name) { return std::getenv(name); }

// What sending a lent buffer is under DEISA_DISABLE.
deisa_status exchange(deisa_bridge* bridge, const char* name, void** buffer,
                      deisa_error* error) noexcept {
  return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
    if (name != nullptr && buffer != nullptr) disabled.exchange(name, buffer);
  });
}

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
        handle->bridge = std::make_unique<Bridge>(resolved);
      } catch (const Error& failure) {
        // The others come to a rendezvous that never will be.
        if (auto refusal = refuse_others(resolved, failure)) keep_refusal(std::move(refusal));
        throw;
      }
      if (resolved.bridge_id == 0) deisa::keep_refusal(nullptr);
    } else if (options != nullptr && options->communicator != nullptr) {
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
      if (name != nullptr && layout != nullptr) disabled.define(name, known_part(*layout));
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(layout, "layout");
    if (layout->struct_size < kFirstLayoutSize) {
      throw Error(DEISA_ERROR_ARGUMENT,
                  "layout: struct_size = " + std::to_string(layout->struct_size) + ": expected " +
                      std::to_string(sizeof(deisa_layout)) + "; start from DEISA_LAYOUT_INIT")
          .at_array(name);
    }
    try {
      open.define({{name, deisa::metadata_from_layout(known_part(*layout))}});
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

deisa_status deisa_send(deisa_bridge* bridge, const char* name, const void* data, int64_t timestep,
                        deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(data, "data");
    open.send(name, Source::memory(data), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_send_strided(deisa_bridge* bridge, const char* name, const void* data,
                                deisa_dtype dtype, int32_t ndim, const int64_t* shape,
                                const int64_t* strides, int64_t timestep, deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    const deisa::Layout layout = open.layout_for(name, dtype, ndim, shape, strides);
    require(data, "data");
    open.send(name, Source::memory(data, layout), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_begin_step(deisa_bridge* bridge, int64_t timestep, deisa_error* error) {
  // Failures of earlier calls first: in mode raise no step is open after them.
  const deisa_status late = reported(bridge, error, [](Bridge& open) {
    open.look_for_late_failures();
    return DEISA_OK;
  });
  if (late < 0) {
    on_bridge(bridge, nullptr, [&](Bridge& open) {
      open.decline_step(timestep);
      return DEISA_OK;
    });
    return late;
  }
  const deisa_status status = reported_alone(bridge, error, [&](Bridge& open) {
    try {
      return open.begin_step(timestep) ? DEISA_OK : DEISA_SKIPPED;
    } catch (const Error& failure) {
      // The simulation goes on to put and end_step: they must find a step.
      const bool goes_on = open.options().error_mode == DEISA_ERRORS_REPORT;
      if (goes_on && !is_the_callers_fault(failure.status())) open.leave_step_out(timestep);
      throw;
    }
  });
  return status == DEISA_OK ? late : status;
}

deisa_status deisa_put(deisa_bridge* bridge, const char* name, const void* data,
                       deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(data, "data");
    open.put(name, Source::memory(data));
    return DEISA_OK;
  });
}

deisa_status deisa_put_strided(deisa_bridge* bridge, const char* name, const void* data,
                               deisa_dtype dtype, int32_t ndim, const int64_t* shape,
                               const int64_t* strides, deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    const deisa::Layout layout = open.layout_for(name, dtype, ndim, shape, strides);
    require(data, "data");
    open.put(name, Source::memory(data, layout));
    return DEISA_OK;
  });
}

deisa_status deisa_end_step(deisa_bridge* bridge, deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    open.end_step();
    return DEISA_OK;
  });
}

deisa_status deisa_send_async(deisa_bridge* bridge, const char* name, const void* data,
                              int64_t timestep, deisa_request* request, deisa_error* error) {
  if (request != nullptr) *request = 0;
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(data, "data");
    require(request, "request");
    *request = open.send_async(name, Source::memory(data), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_send_strided_async(deisa_bridge* bridge, const char* name, const void* data,
                                      deisa_dtype dtype, int32_t ndim, const int64_t* shape,
                                      const int64_t* strides, int64_t timestep,
                                      deisa_request* request, deisa_error* error) {
  if (request != nullptr) *request = 0;
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(request, "request");
    const deisa::Layout layout = open.layout_for(name, dtype, ndim, shape, strides);
    require(data, "data");
    *request = open.send_async(name, Source::memory(data, layout), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_end_step_async(deisa_bridge* bridge, deisa_request* request,
                                  deisa_error* error) {
  if (request != nullptr) *request = 0;
  return reported(bridge, error, [&](Bridge& open) {
    require(request, "request");
    *request = open.end_step_async();
    return DEISA_OK;
  });
}

deisa_status deisa_wait(deisa_bridge* bridge, deisa_request* request, deisa_error* error) {
  return reported_alone(bridge, error, [&](Bridge& open) {
    require(request, "request");
    try {
      open.wait(*request);
    } catch (const Error& failure) {
      // After a time-out the caller may wait again.
      if (failure.status() != DEISA_ERROR_TIMEOUT) *request = 0;
      throw;
    }
    *request = 0;
    return DEISA_OK;
  });
}

deisa_status deisa_test(deisa_bridge* bridge, deisa_request* request, deisa_error* error) {
  return reported_alone(bridge, error, [&](Bridge& open) {
    require(request, "request");
    if (!open.test(*request)) return DEISA_PENDING;
    const deisa_request finished = std::exchange(*request, 0);
    open.wait(finished);
    return DEISA_OK;
  });
}

deisa_status deisa_allocate(deisa_bridge* bridge, const char* name, void** buffer,
                            deisa_error* error) {
  if (buffer != nullptr) *buffer = nullptr;
  if (is_disabled(bridge)) {
    return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
      if (name != nullptr && buffer != nullptr) *buffer = disabled.allocate(name);
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(buffer, "buffer");
    *buffer = open.allocate(name);
    return DEISA_OK;
  });
}

deisa_status deisa_allocate_as(deisa_bridge* bridge, const char* name, deisa_dtype dtype,
                               int32_t ndim, int64_t* shape, void** buffer, deisa_error* error) {
  if (buffer != nullptr) *buffer = nullptr;
  if (is_disabled(bridge)) {
    return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
      if (name != nullptr && shape != nullptr && buffer != nullptr) {
        *buffer = disabled.allocate(name, dtype, ndim, shape);
      }
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(shape, "shape");
    require(buffer, "buffer");
    *buffer = open.allocate(name, dtype, ndim, shape);
    return DEISA_OK;
  });
}

deisa_status deisa_send_allocated(deisa_bridge* bridge, const char* name, void** buffer,
                                  int64_t timestep, deisa_error* error) {
  if (is_disabled(bridge)) return exchange(bridge, name, buffer, error);
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(buffer, "buffer");
    open.send(name, Source::allocated(buffer), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_send_allocated_async(deisa_bridge* bridge, const char* name, void** buffer,
                                        int64_t timestep, deisa_request* request,
                                        deisa_error* error) {
  if (request != nullptr) *request = 0;
  if (is_disabled(bridge)) return exchange(bridge, name, buffer, error);
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(buffer, "buffer");
    require(request, "request");
    *request = open.send_async(name, Source::allocated(buffer), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_put_allocated(deisa_bridge* bridge, const char* name, void** buffer,
                                 deisa_error* error) {
  if (is_disabled(bridge)) return exchange(bridge, name, buffer, error);
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(buffer, "buffer");
    open.put(name, Source::allocated(buffer));
    return DEISA_OK;
  });
}

deisa_status deisa_flush(deisa_bridge* bridge, deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    open.flush();
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
        const bool is_now = open.options().error_mode == DEISA_ERRORS_REPORT;
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

deisa_status deisa_get_status(deisa_bridge* bridge, deisa_bridge_status* out, deisa_error* error) {
  return guarded(error, [&] {
    if (bridge == nullptr) throw no_bridge();
    require(out, "out");
    // The caller's struct may be that of an older header, and then ends early.
    const size_t known = out->struct_size;
    if (known < kFirstStatusSize) {
      throw Error(DEISA_ERROR_ARGUMENT, "status: struct_size = " + std::to_string(known) +
                                            ": expected " +
                                            std::to_string(sizeof(deisa_bridge_status)));
    }
    deisa_bridge_status status = {};
    status.struct_size = sizeof(status);
    if (bridge->bridge) {
      if (deisa::is_inherited(*bridge)) throw deisa::inherited(*bridge);
      std::lock_guard<std::mutex> lock(bridge->mutex);
      status = bridge->bridge->status();
    }
    status.struct_size = std::min(known, sizeof(status));
    std::memcpy(out, &status, status.struct_size);
    return DEISA_OK;
  });
}

}  // extern "C"
