// YAML, by libdeisa_yaml.so: opened when a YAML file is named, so that no other rank carries it.
#pragma once

#include <string>

namespace deisa {

// The same data as JSON text; a key that is there twice is there twice. Throws
// Error(DEISA_ERROR_ARGUMENT) if `yaml` is not YAML or cannot be said in JSON, with the line, and
// Error(DEISA_ERROR_UNSUPPORTED) if the library is not there.
std::string yaml_to_json(const std::string& yaml);

}  // namespace deisa
