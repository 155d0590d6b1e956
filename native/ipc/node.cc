#include "ipc/node.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "base/fork.hpp"
#include "ipc/receiver.hpp"

struct deisa_node_receiver {
  explicit deisa_node_receiver(const char* path) : receiver(path) {}
  deisa::Receiver receiver;
  deisa::OwnProcess process;
};

namespace {

void copy_message(const char* text, char* message, size_t size) noexcept {
  if (message == nullptr || size == 0) return;
  const size_t kept = std::min(std::strlen(text), size - 1);
  std::memcpy(message, text, kept);
  message[kept] = '\0';
}

// Runs one call on a receiver, but not on a forked child's copy; no exception leaves it.
template <typename Call>
int32_t guarded(deisa_node_receiver* receiver, Call call) noexcept {
  if (receiver == nullptr) return DEISA_ERROR_ARGUMENT;
  if (!receiver->process.is_this()) return DEISA_ERROR_CONTRACT;
  try {
    return call(receiver->receiver);
  } catch (const deisa::Error& error) {
    return error.status();
  } catch (const std::bad_alloc&) {
    return DEISA_ERROR_RESOURCE;
  } catch (...) {
    return DEISA_ERROR_INTERNAL;
  }
}

std::string_view view(const void* data, size_t bytes) noexcept {
  return data == nullptr ? std::string_view{}
                         : std::string_view(static_cast<const char*>(data), bytes);
}

}  // namespace

int32_t deisa_node_open(const char* path, deisa_node_receiver** out, char* message,
                        size_t message_size) {
  if (out == nullptr || path == nullptr) return DEISA_ERROR_ARGUMENT;
  *out = nullptr;
  copy_message("", message, message_size);
  try {
    *out = new deisa_node_receiver(path);
    return DEISA_OK;
  } catch (const deisa::Error& error) {
    copy_message(error.what(), message, message_size);
    return error.status();
  } catch (const std::exception& error) {
    copy_message(error.what(), message, message_size);
    return DEISA_ERROR_RESOURCE;
  }
}

void deisa_node_stop(deisa_node_receiver* receiver) {
  guarded(receiver, [](deisa::Receiver& r) {
    r.stop();
    return DEISA_OK;
  });
}

void deisa_node_destroy(deisa_node_receiver* receiver) {
  if (receiver == nullptr || !receiver->process.is_this()) return;
  deisa_node_stop(receiver);
  delete receiver;
}

int32_t deisa_node_next(deisa_node_receiver* receiver, deisa_node_event* event,
                        int32_t timeout_ms) {
  if (event == nullptr) return DEISA_ERROR_ARGUMENT;
  return guarded(receiver, [&](deisa::Receiver& r) { return r.next(event, timeout_ms); });
}

int32_t deisa_node_welcome(deisa_node_receiver* receiver, uint64_t connection, uint64_t sequence) {
  return guarded(receiver, [&](deisa::Receiver& r) { return r.welcome(connection, sequence); });
}

int32_t deisa_node_refuse(deisa_node_receiver* receiver, uint64_t connection, int32_t status,
                          const char* text, size_t bytes) {
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.refuse(connection, status, view(text, bytes));
  });
}

int32_t deisa_node_stored(deisa_node_receiver* receiver, uint64_t connection, uint64_t sequence,
                          uint32_t array, uint32_t slot) {
  return guarded(receiver,
                 [&](deisa::Receiver& r) { return r.stored(connection, sequence, array, slot); });
}

int32_t deisa_node_announced(deisa_node_receiver* receiver, uint64_t connection, uint64_t sequence,
                             uint32_t array) {
  return guarded(receiver,
                 [&](deisa::Receiver& r) { return r.announced(connection, sequence, array); });
}

int32_t deisa_node_failed(deisa_node_receiver* receiver, uint64_t connection, uint64_t sequence,
                          uint32_t array, uint32_t slot, int32_t status, int64_t timestep,
                          const char* text, size_t bytes) {
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.failed(connection, sequence, array, slot, status, timestep, view(text, bytes));
  });
}

int32_t deisa_node_value(deisa_node_receiver* receiver, uint64_t connection, uint64_t sequence,
                         int32_t status, int32_t kept, const void* data, size_t bytes) {
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.value(connection, sequence, status, kept != 0, view(data, bytes));
  });
}

int32_t deisa_node_changed(deisa_node_receiver* receiver, uint64_t connection, int32_t status,
                           const char* key, size_t key_bytes, const void* data, size_t bytes) {
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.changed(connection, status, view(key, key_bytes), view(data, bytes));
  });
}

int32_t deisa_node_done(deisa_node_receiver* receiver, uint64_t connection, uint64_t sequence,
                        int32_t status, const char* text, size_t bytes) {
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.done(connection, sequence, status, view(text, bytes));
  });
}

int32_t deisa_node_notice(deisa_node_receiver* receiver, uint64_t connection, int32_t status,
                          const char* text, size_t bytes) {
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.notice(connection, status, view(text, bytes));
  });
}

int32_t deisa_node_final_notice(deisa_node_receiver* receiver, uint64_t connection, int32_t status,
                                const char* text, size_t bytes) {
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.notice(connection, status, view(text, bytes), deisa::wire::kFinal);
  });
}

int32_t deisa_node_gate(deisa_node_receiver* receiver, uint64_t connection, uint64_t sequence,
                        int32_t open, int64_t timestep, const char* text, size_t bytes) {
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.gate(connection, sequence, open, timestep, view(text, bytes));
  });
}

int32_t deisa_node_trace(deisa_node_receiver* receiver, const char* file, const char* process) {
  if (file == nullptr || process == nullptr) return DEISA_ERROR_ARGUMENT;
  return guarded(receiver, [&](deisa::Receiver& r) { return r.trace(file, process); });
}

int32_t deisa_node_span(deisa_node_receiver* receiver, const char* name, int32_t rank,
                        const char* array, int64_t timestep, int64_t begin, int64_t end,
                        int32_t row) {
  if (name == nullptr || array == nullptr) return DEISA_ERROR_ARGUMENT;
  return guarded(receiver, [&](deisa::Receiver& r) {
    return r.span(name, rank, array, timestep, begin, end, row);
  });
}

int32_t deisa_node_close(deisa_node_receiver* receiver, uint64_t connection) {
  return guarded(receiver, [&](deisa::Receiver& r) { return r.close(connection); });
}

int32_t deisa_node_release(deisa_node_receiver* receiver, uint64_t connection) {
  return guarded(receiver, [&](deisa::Receiver& r) { return r.release(connection); });
}

void deisa_node_get_counters(deisa_node_receiver* receiver, deisa_node_counters* counters) {
  if (counters == nullptr) return;
  guarded(receiver, [&](deisa::Receiver& r) {
    *counters = r.counters();
    return DEISA_OK;
  });
}
