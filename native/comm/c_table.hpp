// Makes the C table of a communicator from a C++ class.
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "base/deadline.hpp"
#include "base/error.hpp"
#include "base/fork.hpp"
#include "base/shortage.hpp"
#include "base/while_waiting.hpp"
#include "deisa/deisa.h"

namespace deisa {

// Runs `body`; an exception becomes a status and a filled error. Nothing is thrown.
template <typename Body>
deisa_status guarded(deisa_error* error, int rank, const Body& body) noexcept {
  try {
    body();
    return DEISA_OK;
  } catch (const std::exception& caught) {
    return write_exception(caught, rank, error);
  } catch (...) {
    return DEISA_ERROR_INTERNAL;
  }
}

// What a table of T points to.
template <typename T>
struct TableObject {
  std::unique_ptr<T> object;
  OwnProcess process = {};

  // Runs `body` with the object, but not in a forked child.
  template <typename Body>
  static deisa_status call(void* self, deisa_error* error, const Body& body) noexcept {
    auto* held = static_cast<TableObject*>(self);
    return guarded(error, held->object->rank(), [&] {
      if (!held->process.is_this()) {
        throw Error(DEISA_ERROR_CONTRACT,
                    "this communicator is that of process " + std::to_string(held->process.pid()) +
                        ", from which this one was forked: only that one can use it");
      }
      body(*held->object);
    });
  }
};

// The table's functions call the methods of the same names of T, which throw on failure. `release`
// deletes the object; in a forked child it does nothing.
template <typename T>
deisa_communicator make_table(std::unique_ptr<T> object) {
  using Held = TableObject<T>;
  auto held = std::make_unique<Held>();
  held->object = std::move(object);
  deisa_communicator table = {};
  table.struct_size = sizeof(table);
  table.rank = [](void* self) -> int32_t { return static_cast<Held*>(self)->object->rank(); };
  table.size = [](void* self) -> int32_t { return static_cast<Held*>(self)->object->size(); };
  table.barrier = [](void* self, double timeout, deisa_error* error) {
    return Held::call(self, error, [&](T& on) { on.barrier(Deadline::after(timeout)); });
  };
  table.barrier_meanwhile = [](void* self, double timeout, void (*meanwhile)(void*), void* data,
                               deisa_error* error) {
    const WhileWaiting reporting(meanwhile, data);
    return Held::call(self, error, [&](T& on) { on.barrier(Deadline::after(timeout)); });
  };
  table.gather = [](void* self, const void* sent, size_t bytes, void* received, int32_t root,
                    double timeout, deisa_error* error) {
    return Held::call(self, error, [&](T& on) {
      on.gather(sent, bytes, received, root, Deadline::after(timeout));
    });
  };
  table.broadcast = [](void* self, void* data, size_t bytes, int32_t root, double timeout,
                       deisa_error* error) {
    return Held::call(self, error,
                      [&](T& on) { on.broadcast(data, bytes, root, Deadline::after(timeout)); });
  };
  table.release = [](void* self) {
    if (static_cast<Held*>(self)->process.is_this()) delete static_cast<Held*>(self);
  };
  table.self = held.release();
  return table;
}

}  // namespace deisa
