// What is left of a bridge under DEISA_DISABLE: buffers to compute in. Checks nothing.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "deisa/deisa.h"

namespace deisa {

class Disabled {
 public:
  void define(const std::string& name, const deisa_layout& layout);
  void define(const std::string& arrays_metadata);
  // A buffer of the chunk's size, valid as long as this object; NULL if the size is not known.
  void* allocate(const std::string& name);

 private:
  std::map<std::string, size_t> bytes_;
  std::map<std::string, std::vector<std::byte>> buffers_;
};

}  // namespace deisa
