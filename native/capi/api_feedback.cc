// The C ABI's feedback: values that the analytics set.
#include "capi/call.hpp"
#include "capi/feedback.hpp"

using deisa::Bridge;
using deisa::Error;
using deisa::is_disabled;
using deisa::on_bridge;
using deisa::reported;
using deisa::require;

namespace {

// Reads a value; DEISA_NOT_FOUND in `error` says which.
template <typename Use>
deisa_status read_feedback(deisa_bridge* bridge, const char* key, int64_t timestep, int flags,
                           deisa_error* error, const Use& use) noexcept {
  if (is_disabled(bridge)) return DEISA_NOT_FOUND;
  // The caller's fault, in every error mode.
  const deisa_status valid = on_bridge(bridge, error, [&](Bridge&) {
    require(key, "key");
    if ((flags & ~(DEISA_COLLECTIVE | DEISA_CHUNKED)) != 0) {
      throw Error(DEISA_ERROR_ARGUMENT,
                  "flags = " + std::to_string(flags) + ": expected 0 or DEISA_COLLECTIVE");
    }
    if ((flags & DEISA_CHUNKED) != 0) {
      throw Error(DEISA_ERROR_UNSUPPORTED,
                  std::string("feedback '") + key + "': chunked is not implemented: read it whole");
    }
    return DEISA_OK;
  });
  if (valid != DEISA_OK) return valid;
  return reported(bridge, error, [&](Bridge& open) {
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

deisa_status deisa_get_value(deisa_bridge* bridge, const char* key, int64_t timestep, int flags,
                             const deisa_value** value, deisa_error* error) {
  return read_feedback(bridge, key, timestep, flags, error, [&](const std::string& packed) {
    require(value, "value");
    bridge->value = std::make_unique<deisa::FeedbackValue>(key, packed);
    *value = &bridge->value->root();
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

}  // extern "C"
