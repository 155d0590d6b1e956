// The C ABI: sends, steps, requests and loans.
#include <utility>

#include "capi/call.hpp"
#include "chunk/arrow.hpp"

using deisa::Bridge;
using deisa::Error;
using deisa::is_disabled;
using deisa::is_the_callers_fault;
using deisa::on_bridge;
using deisa::on_disabled;
using deisa::reported;
using deisa::reported_alone;
using deisa::require;
using deisa::require_size;
using deisa::Source;

namespace {

// What a deisa_source says, looked at and owned for the length of a call.
class Given {
 public:
  // The Arrow structs are released whatever becomes of the call.
  explicit Given(const deisa_source* source) noexcept
      : source_(source), release_(array(source), schema(source)) {}

  // The loan that it is, or NULL.
  void** loan() const noexcept { return is_whole(source_) ? source_->loan : nullptr; }

  // Valid as long as this object. Throws for what does not fit the array.
  Source view(const Bridge& bridge, const char* name) {
    require(name, "name");
    require(source_, "source");
    require_size(*source_, "source", "DEISA_SOURCE_INIT");
    const bool arrow = source_->array != nullptr || source_->schema != nullptr;
    if ((source_->data != nullptr) + (source_->loan != nullptr) + arrow > 1) {
      throw Error(DEISA_ERROR_ARGUMENT,
                  "source: more than one of data, loan and array is given: expected one")
          .at_array(name);
    }
    if (source_->loan != nullptr) return Source::of_loan(source_->loan);
    if (arrow) return view_arrow(bridge, name);
    const bool described =
        source_->ndim != 0 || source_->shape != nullptr || source_->strides != nullptr;
    if (described) {
      layout_ =
          bridge.layout_for(name, source_->dtype, source_->ndim, source_->shape, source_->strides);
    } else if (const int dtype = source_->dtype; dtype != 0) {
      bridge.check_dtype(name, source_->dtype);
    }
    require(source_->data, "data");
    return described ? Source::memory(source_->data, layout_) : Source::memory(source_->data);
  }

 private:
  static bool is_whole(const deisa_source* source) noexcept {
    return source != nullptr && source->struct_size >= sizeof(deisa_source);
  }
  static ArrowArray* array(const deisa_source* source) noexcept {
    return is_whole(source) ? source->array : nullptr;
  }
  static ArrowSchema* schema(const deisa_source* source) noexcept {
    return is_whole(source) ? source->schema : nullptr;
  }

  Source view_arrow(const Bridge& bridge, const char* name) {
    require(source_->array, "array");
    require(source_->schema, "schema");
    const deisa::Layout& layout = bridge.layout_of(name);
    try {
      arrow_ = deisa::import_arrow(*source_->array, *source_->schema, layout.dtype, layout.shape);
    } catch (Error& error) {
      throw Error(error.status(), "array '" + std::string(name) + "': " + error.what())
          .at_array(name)
          .at_rank(bridge.rank());
    }
    return Source::memory(arrow_.data, arrow_.layout);
  }

  const deisa_source* source_;
  deisa::ArrowRelease release_;
  deisa::Layout layout_;
  deisa::ArrowView arrow_;
};

// What sending a loan is under DEISA_DISABLE.
deisa_status exchange(deisa_bridge* bridge, const char* name, void** loan,
                      deisa_error* error) noexcept {
  return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
    if (name != nullptr && loan != nullptr) disabled.exchange(name, loan);
  });
}

deisa_status send(deisa_bridge* bridge, const char* name, Given& given, int64_t timestep,
                  deisa_request* request, deisa_error* error) noexcept {
  if (request != nullptr) *request = 0;
  if (is_disabled(bridge)) return exchange(bridge, name, given.loan(), error);
  return reported(bridge, error, [&](Bridge& open) {
    const Source source = given.view(open, name);
    if (request != nullptr) {
      *request = open.send_async(name, source, timestep);
    } else {
      open.send(name, source, timestep);
    }
    return DEISA_OK;
  });
}

deisa_status put(deisa_bridge* bridge, const char* name, Given& given,
                 deisa_error* error) noexcept {
  if (is_disabled(bridge)) return exchange(bridge, name, given.loan(), error);
  return reported(bridge, error, [&](Bridge& open) {
    open.put(name, given.view(open, name));
    return DEISA_OK;
  });
}

deisa_source as_defined(const void* data) noexcept {
  deisa_source source = DEISA_SOURCE_INIT;
  source.data = data;
  return source;
}

}  // namespace

extern "C" {

deisa_status deisa_send(deisa_bridge* bridge, const char* name, const void* data, int64_t timestep,
                        deisa_error* error) {
  const deisa_source source = as_defined(data);
  Given given(&source);
  return send(bridge, name, given, timestep, nullptr, error);
}

deisa_status deisa_send_from(deisa_bridge* bridge, const char* name, const deisa_source* source,
                             int64_t timestep, deisa_request* request, deisa_error* error) {
  Given given(source);
  return send(bridge, name, given, timestep, request, error);
}

deisa_status deisa_begin_step(deisa_bridge* bridge, int64_t timestep, deisa_error* error) {
  // Failures of earlier calls first: in mode RETURN no step is open after them. In mode REPORT the
  // handler gets them, and the step begins: what this returns is about the step alone.
  const deisa_status late = reported(bridge, error, [](Bridge&) { return DEISA_OK; });
  if (late < 0) {
    on_bridge(bridge, nullptr, [&](Bridge& open) {
      open.decline_step(timestep);
      return DEISA_OK;
    });
    return late;
  }
  return reported_alone(bridge, error, [&](Bridge& open) {
    try {
      return open.begin_step(timestep) ? DEISA_OK : DEISA_SKIPPED;
    } catch (const Error& failure) {
      // The simulation goes on to put and end_step: they must find a step.
      const bool goes_on = bridge->reporter->mode() == DEISA_ERRORS_REPORT;
      if (goes_on && !is_the_callers_fault(failure.status())) open.skip_step(timestep);
      throw;
    }
  });
}

deisa_status deisa_put(deisa_bridge* bridge, const char* name, const void* data,
                       deisa_error* error) {
  const deisa_source source = as_defined(data);
  Given given(&source);
  return put(bridge, name, given, error);
}

deisa_status deisa_put_from(deisa_bridge* bridge, const char* name, const deisa_source* source,
                            deisa_error* error) {
  Given given(source);
  return put(bridge, name, given, error);
}

deisa_status deisa_end_step(deisa_bridge* bridge, deisa_request* request, deisa_error* error) {
  if (request != nullptr) *request = 0;
  return reported(bridge, error, [&](Bridge& open) {
    if (request != nullptr) {
      *request = open.end_step_async();
    } else {
      open.end_step();
    }
    return DEISA_OK;
  });
}

deisa_status deisa_abandon_step(deisa_bridge* bridge, deisa_error* error) {
  return reported(bridge, error, [](Bridge& open) {
    open.abandon_step();
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

deisa_status deisa_flush(deisa_bridge* bridge, deisa_error* error) {
  return reported(bridge, error, [&](Bridge& open) {
    open.flush();
    return DEISA_OK;
  });
}

deisa_status deisa_loan(deisa_bridge* bridge, const char* name, void** memory, deisa_layout* layout,
                        deisa_error* error) {
  if (memory != nullptr) *memory = nullptr;
  const auto describe = [&](const deisa::Layout& chunk) {
    if (layout == nullptr) return;
    layout->dtype = chunk.dtype;
    layout->ndim = static_cast<int32_t>(chunk.shape.size());
    layout->chunk_shape = chunk.shape.data();
  };
  if (is_disabled(bridge)) {
    return on_disabled(bridge, error, [&](deisa::Disabled& disabled) {
      if (name == nullptr || memory == nullptr) return;
      *memory = disabled.loan(name);
      if (*memory != nullptr) describe(disabled.layout_of(name));
    });
  }
  return on_bridge(bridge, error, [&](Bridge& open) {
    require(name, "name");
    require(memory, "memory");
    if (layout != nullptr)
      require_size(*layout, "layout", "DEISA_LAYOUT_INIT", deisa::kLeastLayout);
    *memory = open.loan(name);
    describe(open.layout_of(name));
    return DEISA_OK;
  });
}

}  // extern "C"
