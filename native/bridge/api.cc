// The C ABI: arguments checked, calls serialised, exceptions turned into statuses.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <utility>

#include "bridge/bridge.hpp"
#include "bridge/disabled.hpp"
#include "bridge/feedback.hpp"
#include "bridge/report.hpp"
#include "chunk/arrow.hpp"

// The handle. `bridge` is empty when DEISA_DISABLE is set: every call is then a success.
struct deisa_bridge {
  std::mutex mutex;
  deisa::Disabled disabled;
  std::unique_ptr<deisa::Bridge> bridge;
  std::unique_ptr<deisa::Reporter> reporter;
  std::string packed;  // the answer of the last deisa_get_packed
};

namespace {

using deisa::Bridge;
using deisa::Error;
using deisa::Source;

const char* read_environment(const char* name) { return std::getenv(name); }

// Runs `work` and turns whatever it throws into a status. Nothing leaves.
template <typename Work>
deisa_status guarded(deisa_error* error, const Work& work) noexcept {
  try {
    return work();
  } catch (const Error& e) {
    return deisa::write_error(e, error);
  } catch (const std::bad_alloc&) {
    if (error != nullptr) *error = deisa_error{};
    return deisa::write_error(Error(DEISA_ERROR_RESOURCE, "out of memory"), error);
  } catch (const std::exception& e) {
    try {
      return deisa::write_error(Error(DEISA_ERROR_INTERNAL, std::string("unexpected: ") + e.what()),
                                error);
    } catch (...) {
      return DEISA_ERROR_INTERNAL;
    }
  } catch (...) {
    return DEISA_ERROR_INTERNAL;
  }
}

Error null_argument(const char* what) {
  return Error(DEISA_ERROR_ARGUMENT, std::string(what) + " is NULL");
}

bool is_the_callers_fault(deisa_status status) {
  return status == DEISA_ERROR_CONTRACT || status == DEISA_ERROR_ARGUMENT;
}

// A call on a bridge that is or will be open: `work` returns a status or throws.
template <typename Work>
deisa_status on_bridge(deisa_bridge* handle, deisa_error* error, const Work& work) noexcept {
  return guarded(error, [&]() -> deisa_status {
    if (handle == nullptr) throw null_argument("bridge");
    if (!handle->bridge) return DEISA_OK;
    std::lock_guard<std::mutex> lock(handle->mutex);
    try {
      return work(*handle->bridge);
    } catch (Error& failure) {
      if (failure.rank() < 0) failure.at_rank(handle->bridge->options().bridge_id);
      throw;
    }
  });
}

// As above, for calls whose failures go to the exception handler unless the caller is at fault. The
// late failures of earlier calls are reported here too.
template <typename Work>
deisa_status reported(deisa_bridge* handle, deisa_error* error, const Work& work) noexcept {
  return on_bridge(handle, error, [&](Bridge& bridge) -> deisa_status {
    deisa_status status = DEISA_OK;
    try {
      status = work(bridge);
    } catch (Error& failure) {
      if (failure.rank() < 0) failure.at_rank(bridge.options().bridge_id);
      if (is_the_callers_fault(failure.status())) throw;
      status = handle->reporter->report(failure, error);
    }
    for (const Error& late : bridge.take_late_failures()) {
      deisa_error ignored;
      const bool first = status == DEISA_OK;
      const deisa_status of_late = handle->reporter->report(late, first ? error : &ignored);
      if (first) status = of_late;
    }
    return status;
  });
}

void require(const void* pointer, const char* what) {
  if (pointer == nullptr) throw null_argument(what);
}

// What every caller has ever known of deisa_layout: the part before `offset`.
constexpr size_t kFirstLayoutSize = offsetof(deisa_layout, offset);

// The caller's struct may be that of an older header, and then ends early.
deisa_layout known_part(const deisa_layout& layout) {
  deisa_layout known = DEISA_LAYOUT_INIT;
  if (layout.struct_size < kFirstLayoutSize) return known;
  std::memcpy(&known, &layout, std::min(layout.struct_size, sizeof(known)));
  return known;
}

deisa::ArrowView view_arrow(Bridge& bridge, const char* name, ArrowArray* array,
                            ArrowSchema* schema) {
  require(name, "name");
  require(array, "array");
  require(schema, "schema");
  const deisa::Layout& layout = bridge.layout_of(name);
  try {
    return deisa::import_arrow(*array, *schema, layout.dtype, layout.shape);
  } catch (Error& error) {
    throw error.at_array(name).at_rank(bridge.options().bridge_id);
  }
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
      deisa::Options resolved =
          deisa::resolve_options(options != nullptr ? *options : defaults, &read_environment);
      handle->reporter = std::make_unique<deisa::Reporter>(
          resolved.error_mode, resolved.error_handler, resolved.error_handler_data);
      handle->bridge = std::make_unique<Bridge>(std::move(resolved));
    }
    *out = handle.release();
    return DEISA_OK;
  });
}

deisa_status deisa_define(deisa_bridge* bridge, const char* name, const deisa_layout* layout,
                          deisa_error* error) {
  if (bridge != nullptr && !bridge->bridge) {
    return guarded(error, [&] {
      if (name != nullptr && layout != nullptr) bridge->disabled.define(name, known_part(*layout));
      return DEISA_OK;
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
  if (bridge != nullptr && !bridge->bridge) {
    return guarded(error, [&] {
      if (arrays_metadata != nullptr) bridge->disabled.define(arrays_metadata);
      return DEISA_OK;
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(arrays_metadata, "arrays_metadata");
    nlohmann::json parsed;
    try {
      parsed = nlohmann::json::parse(arrays_metadata);
    } catch (const nlohmann::json::exception& e) {
      throw Error(DEISA_ERROR_ARGUMENT, std::string("arrays_metadata is not JSON: ") + e.what());
    }
    open.define(parsed);
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
  return reported(bridge, error, [&](Bridge& open) {
    try {
      return open.begin_step(timestep) ? DEISA_OK : DEISA_SKIPPED;
    } catch (const Error& failure) {
      // The simulation goes on to put and end_step: they must find a step.
      const bool goes_on = open.options().error_mode == DEISA_ERRORS_REPORT;
      if (goes_on && !is_the_callers_fault(failure.status())) open.leave_step_out(timestep);
      throw;
    }
  });
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
  return reported(bridge, error, [&](Bridge& open) {
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
  return reported(bridge, error, [&](Bridge& open) {
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
  if (bridge != nullptr && !bridge->bridge) {
    return guarded(error, [&] {
      if (name != nullptr && buffer != nullptr) *buffer = bridge->disabled.allocate(name);
      return DEISA_OK;
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(buffer, "buffer");
    *buffer = open.allocate(name);
    return DEISA_OK;
  });
}

deisa_status deisa_send_allocated(deisa_bridge* bridge, const char* name, void** buffer,
                                  int64_t timestep, deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(buffer, "buffer");
    open.send(name, Source::allocated(buffer), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_put_allocated(deisa_bridge* bridge, const char* name, void** buffer,
                                 deisa_error* error) {
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
  const deisa_status status = reported(*bridge, error, [&](Bridge& open) {
    open.close(timestep);
    return DEISA_OK;
  });
  if (!is_the_callers_fault(status)) {
    delete *bridge;
    *bridge = nullptr;
  }
  return status;
}

void deisa_abandon(deisa_bridge** bridge) {
  if (bridge == nullptr || *bridge == nullptr) return;
  delete *bridge;  // Bridge's destructor abandons
  *bridge = nullptr;
}

}  // extern "C"

namespace {

// Reads a value; DEISA_NOT_FOUND in `error` says which.
template <typename Use>
deisa_status read_feedback(deisa_bridge* bridge, const char* key, int64_t timestep, int flags,
                           deisa_error* error, const Use& use) noexcept {
  if (bridge != nullptr && !bridge->bridge) return DEISA_NOT_FOUND;
  return reported(bridge, error, [&](Bridge& open) {
    require(key, "key");
    if ((flags & ~DEISA_COLLECTIVE) != 0) {
      throw Error(DEISA_ERROR_ARGUMENT,
                  "flags = " + std::to_string(flags) + ": expected 0 or DEISA_COLLECTIVE");
    }
    const deisa::Client::Value value = open.get(key, timestep, (flags & DEISA_COLLECTIVE) != 0);
    if (!value.found) {
      return deisa::write_error(
          Error(DEISA_NOT_FOUND, std::string("no feedback value '") + key + "'"), error);
    }
    use(value.packed);
    return DEISA_OK;
  });
}

}  // namespace

extern "C" {

deisa_status deisa_get_double(deisa_bridge* bridge, const char* key, int64_t timestep, int flags,
                              double* value, deisa_error* error) {
  return read_feedback(bridge, key, timestep, flags, error, [&](const std::string& packed) {
    require(value, "value");
    *value = deisa::unpack_double(key, packed);
  });
}

deisa_status deisa_get_int64(deisa_bridge* bridge, const char* key, int64_t timestep, int flags,
                             int64_t* value, deisa_error* error) {
  return read_feedback(bridge, key, timestep, flags, error, [&](const std::string& packed) {
    require(value, "value");
    *value = deisa::unpack_int64(key, packed);
  });
}

deisa_status deisa_get_packed(deisa_bridge* bridge, const char* key, int64_t timestep, int flags,
                              const void** data, size_t* size, deisa_error* error) {
  return read_feedback(bridge, key, timestep, flags, error, [&](const std::string& packed) {
    require(data, "data");
    require(size, "size");
    bridge->packed = packed;
    *data = bridge->packed.data();
    *size = bridge->packed.size();
  });
}

deisa_status deisa_delete(deisa_bridge* bridge, const char* key, deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    require(key, "key");
    open.remove(key);
    return DEISA_OK;
  });
}

deisa_status deisa_get_status(deisa_bridge* bridge, deisa_bridge_status* out, deisa_error* error) {
  return guarded(error, [&] {
    if (bridge == nullptr) throw null_argument("bridge");
    require(out, "out");
    if (out->struct_size < sizeof(deisa_bridge_status)) {
      throw Error(DEISA_ERROR_ARGUMENT,
                  "status: struct_size = " + std::to_string(out->struct_size) + ": expected " +
                      std::to_string(sizeof(deisa_bridge_status)));
    }
    deisa_bridge_status status = {};
    status.struct_size = sizeof(status);
    if (bridge->bridge) {
      std::lock_guard<std::mutex> lock(bridge->mutex);
      status = bridge->bridge->status();
    }
    *out = status;
    return DEISA_OK;
  });
}

deisa_status deisa_send_arrow(deisa_bridge* bridge, const char* name, struct ArrowArray* array,
                              struct ArrowSchema* schema, int64_t timestep, deisa_error* error) {
  const deisa::ArrowRelease release(array, schema);
  return reported(bridge, error, [&](Bridge& open) {
    const deisa::ArrowView view = view_arrow(open, name, array, schema);
    open.send(name, Source::memory(view.data, view.layout), timestep);
    return DEISA_OK;
  });
}

deisa_status deisa_put_arrow(deisa_bridge* bridge, const char* name, struct ArrowArray* array,
                             struct ArrowSchema* schema, deisa_error* error) {
  const deisa::ArrowRelease release(array, schema);
  return reported(bridge, error, [&](Bridge& open) {
    const deisa::ArrowView view = view_arrow(open, name, array, schema);
    open.put(name, Source::memory(view.data, view.layout));
    return DEISA_OK;
  });
}

deisa_status deisa_export_arrow(const void* data, const deisa_layout* layout,
                                struct ArrowArray* array, struct ArrowSchema* schema,
                                deisa_error* error) {
  return guarded(error, [&] {
    require(data, "data");
    require(layout, "layout");
    require(array, "array");
    require(schema, "schema");
    // Only shape, dtype and strides matter here: the grid is one chunk.
    deisa::Problems problems;
    nlohmann::json described = deisa::metadata_from_layout(known_part(*layout));
    const size_t ndim = layout->ndim > 0 ? static_cast<size_t>(layout->ndim) : 0;
    described["nb_chunks_per_dim"] = std::vector<int64_t>(ndim, 1);
    described["chunk_position"] = std::vector<int64_t>(ndim, 0);
    described.erase("global_shape");
    described.erase("nb_chunks_of_node");
    const auto metadata = deisa::parse_metadata("exported", described, problems);
    problems.raise(DEISA_ERROR_ARGUMENT, "invalid layout:");
    if (!metadata->layout.is_contiguous()) {
      throw Error(DEISA_ERROR_UNSUPPORTED,
                  "layout: strides: expected contiguous memory, last dimension fastest");
    }
    deisa::export_arrow(data, metadata->layout, nullptr, array, schema);
    return DEISA_OK;
  });
}

}  // extern "C"
