// What is left of a bridge under DEISA_DISABLE: buffers to compute in. Checks nothing.
#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chunk/layout.hpp"
#include "deisa/deisa.h"

namespace deisa {

class Disabled {
 public:
  void define(const std::string& name, const deisa_layout& layout);
  void define(const std::string& arrays_metadata);
  // A buffer of the chunk's size, valid as long as this object; NULL if the size is not known.
  void* loan(const std::string& name);
  // Of an array whose size is known.
  const Layout& layout_of(const std::string& name) const { return arrays_.at(name).layout; }
  // Two buffers take turns, so that a simulation which reads what it sent last computes the same as
  // with analytics. Leaves `*buffer` alone if it is not the loan.
  void exchange(const std::string& name, void** buffer);
  // As of deisa_export; marks both structs released if the array is not known.
  void export_loan(const std::string& name, ArrowArray* array, ArrowSchema* schema);

 private:
  struct Buffers {
    Layout layout;  // contiguous
    std::shared_ptr<std::array<std::vector<std::byte>, 2>> memory;
    size_t loan = 0;  // index of the one that is the loan
  };

  std::map<std::string, Buffers> arrays_;
};

}  // namespace deisa
