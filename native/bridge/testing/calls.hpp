// Shorthands for calls whose arguments are structs.
#pragma once

#include "deisa/deisa.h"

namespace deisa::testing {

inline deisa_source memory_at(const void* data) {
  deisa_source source = DEISA_SOURCE_INIT;
  source.data = data;
  return source;
}

inline deisa_source memory_at(const void* data, deisa_dtype dtype, int32_t ndim,
                              const int64_t* shape, const int64_t* strides) {
  deisa_source source = memory_at(data);
  source.dtype = dtype;
  source.ndim = ndim;
  source.shape = shape;
  source.strides = strides;
  return source;
}

inline deisa_source loan(void** memory) {
  deisa_source source = DEISA_SOURCE_INIT;
  source.loan = memory;
  return source;
}

inline deisa_source arrow(ArrowArray* array, ArrowSchema* schema) {
  deisa_source source = DEISA_SOURCE_INIT;
  source.array = array;
  source.schema = schema;
  return source;
}

inline deisa_status send_from(deisa_bridge* bridge, const char* name, const deisa_source& source,
                              int64_t timestep, deisa_request* request, deisa_error* error) {
  return deisa_send_from(bridge, name, &source, timestep, request, error);
}

inline deisa_status put_from(deisa_bridge* bridge, const char* name, const deisa_source& source,
                             deisa_error* error) {
  return deisa_put_from(bridge, name, &source, error);
}

// Options to read with: `&*read(...)` is valid until the end of the call.
struct Read {
  deisa_get_options options = DEISA_GET_OPTIONS_INIT;
  const deisa_get_options& operator*() const { return options; }
};
inline Read read(int64_t timestep, bool collective = false) {
  Read result;
  result.options.timestep = timestep;
  result.options.collective = collective ? 1 : 0;
  return result;
}

}  // namespace deisa::testing
