// The limit of the sizes of files (ulimit -f). What goes beyond it, memory files too, is no error
// but a signal that ends the process: so look before.
#pragma once

#include <cstdint>
#include <string>

namespace deisa {

// Whether this process may make a file as large as this.
bool may_have_size(uint64_t bytes) noexcept;

// Throws Error(DEISA_ERROR_RESOURCE) unless it may. `what`: "the file /tmp/x".
void require_size(uint64_t bytes, const std::string& what);

}  // namespace deisa
