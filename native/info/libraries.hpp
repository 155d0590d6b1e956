// The native libraries: libdeisa, and those that lie beside it.
#pragma once

#include <string>
#include <vector>

#include "control/locate.hpp"
#include "info/finding.hpp"

namespace deisa {

// Where libdeisa.so lies that this program has loaded, symbolic links resolved; "" if unknown.
std::string loaded_library();

// libdeisa, the node actor's library, the Gloo and, last, the MPI communicator. `library`: see
// above.
std::vector<Finding> check_libraries(const Places& places, const std::string& library);

}  // namespace deisa
