// The C ABI's feedback: values that the analytics set.
#include <cmath>

#include "base/number.hpp"
#include "capi/call.hpp"
#include "capi/feedback.hpp"

using deisa::Bridge;
using deisa::Error;
using deisa::guarded;
using deisa::is_disabled;
using deisa::on_bridge;
using deisa::reported;
using deisa::reported_alone;
using deisa::require;
using deisa::require_size;

namespace {

// Throws for what no simulation should ask.
void check(const std::string& key, const deisa_get_options& options) {
  const auto refuse = [&](deisa_status status, const std::string& what) {
    throw Error(status, "feedback '" + key + "': " + what);
  };
  if (options.chunked != 0) {
    refuse(DEISA_ERROR_UNSUPPORTED, "chunked is not implemented: read it whole");
  }
  if (!(options.wait >= 0) || std::isinf(options.wait)) {
    refuse(DEISA_ERROR_ARGUMENT,
           "wait = " + deisa::number_text(options.wait) + ": expected seconds, at least 0");
  }
  if (options.all != 0 && options.timestep != DEISA_LATEST) {
    refuse(DEISA_ERROR_ARGUMENT, "all kept values of timestep " + std::to_string(options.timestep) +
                                     " were asked for: expected DEISA_LATEST with all");
  }
}

std::string not_found(const std::string& key, int64_t timestep) {
  const bool any = timestep == DEISA_LATEST;
  return "no feedback value '" + key + "'" +
         (any ? "" : " of timestep " + std::to_string(timestep));
}

// Reads a value; DEISA_NOT_FOUND in `error` says which.
template <typename Use>
deisa_status read_feedback(deisa_bridge* bridge, const char* key, const deisa_get_options* options,
                           const void* value, deisa_error* error, const Use& use) noexcept {
  if (is_disabled(bridge)) {
    return guarded(error, [&] {
      const int64_t timestep = options != nullptr ? options->timestep : DEISA_LATEST;
      return deisa::write_error(
          Error(DEISA_NOT_FOUND, not_found(key != nullptr ? key : "", timestep)), error);
    });
  }
  deisa_get_options given = DEISA_GET_OPTIONS_INIT;
  // The caller's fault, in every error mode.
  const deisa_status valid = on_bridge(bridge, error, [&](Bridge&) {
    require(key, "key");
    require(value, "value");
    if (options != nullptr) {
      require_size(*options, "options", "DEISA_GET_OPTIONS_INIT");
      given = *options;
    }
    check(key, given);
    return DEISA_OK;
  });
  if (valid != DEISA_OK) return valid;
  // Alone: a failure of an earlier call must not hide the value. The next call reports it.
  return reported_alone(bridge, error, [&](Bridge& open) {
    const deisa::Client::Value& found = open.get(key, given);
    if (!found.found) {
      return deisa::write_error(Error(DEISA_NOT_FOUND, not_found(key, given.timestep)), error);
    }
    use(found);
    return DEISA_OK;
  });
}

}  // namespace

extern "C" {

deisa_status deisa_get(deisa_bridge* bridge, const char* key, const deisa_get_options* options,
                       const deisa_value** value, deisa_error* error) {
  return read_feedback(bridge, key, options, value, error, [&](const deisa::Client::Value& found) {
    // The one of the last call, if it is the same.
    if (bridge->value == nullptr || found.version == 0 || found.version != bridge->value_version) {
      bridge->value = std::make_unique<deisa::FeedbackValue>(key, found.packed);
      bridge->value_version = found.version;
    }
    *value = &bridge->value->root();
  });
}

deisa_status deisa_get_double(deisa_bridge* bridge, const char* key,
                              const deisa_get_options* options, double* value, deisa_error* error) {
  return read_feedback(bridge, key, options, value, error, [&](const deisa::Client::Value& found) {
    *value = deisa::unpack_double(key, found.packed);
  });
}

deisa_status deisa_get_int64(deisa_bridge* bridge, const char* key,
                             const deisa_get_options* options, int64_t* value, deisa_error* error) {
  return read_feedback(bridge, key, options, value, error, [&](const deisa::Client::Value& found) {
    *value = deisa::unpack_int64(key, found.packed);
  });
}

deisa_status deisa_use_pickle(deisa_bridge* bridge, deisa_error* error) {
  return on_bridge(bridge, error, [](Bridge& open) {
    open.use_pickle();
    return DEISA_OK;
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
