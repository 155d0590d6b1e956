// Makes the C table of a communicator from a C++ class.
#pragma once

#include <exception>
#include <memory>
#include <new>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "deisa/deisa.h"

namespace deisa {

// Runs `body`; an exception becomes a status and a filled error. Nothing is thrown.
template <typename Body>
deisa_status guarded(deisa_error* error, int rank, const Body& body) noexcept {
  try {
    body();
    return DEISA_OK;
  } catch (Error& caught) {
    if (caught.rank() < 0) caught.at_rank(rank);
    return write_error(caught, error);
  } catch (const std::bad_alloc&) {
    return write_error(Error(DEISA_ERROR_RESOURCE, "out of memory").at_rank(rank), error);
  } catch (const std::exception& caught) {
    return write_error(Error(DEISA_ERROR_INTERNAL, caught.what()).at_rank(rank), error);
  } catch (...) {
    return write_error(Error(DEISA_ERROR_INTERNAL, "unknown exception").at_rank(rank), error);
  }
}

// The table's functions call the methods of the same names of T, which throw on failure. `release`
// deletes the object.
template <typename T>
deisa_communicator make_table(std::unique_ptr<T> object) {
  deisa_communicator table = {};
  table.struct_size = sizeof(table);
  table.rank = [](void* self) -> int32_t { return static_cast<T*>(self)->rank(); };
  table.size = [](void* self) -> int32_t { return static_cast<T*>(self)->size(); };
  table.barrier = [](void* self, double timeout, deisa_error* error) {
    auto* object = static_cast<T*>(self);
    return guarded(error, object->rank(), [&] { object->barrier(Deadline::after(timeout)); });
  };
  table.gather = [](void* self, const void* sent, size_t bytes, void* received, int32_t root,
                    double timeout, deisa_error* error) {
    auto* object = static_cast<T*>(self);
    return guarded(error, object->rank(),
                   [&] { object->gather(sent, bytes, received, root, Deadline::after(timeout)); });
  };
  table.broadcast = [](void* self, void* data, size_t bytes, int32_t root, double timeout,
                       deisa_error* error) {
    auto* object = static_cast<T*>(self);
    return guarded(error, object->rank(),
                   [&] { object->broadcast(data, bytes, root, Deadline::after(timeout)); });
  };
  table.release = [](void* self) { delete static_cast<T*>(self); };
  table.self = object.release();
  return table;
}

}  // namespace deisa
