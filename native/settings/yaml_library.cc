#include "settings/yaml_library.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/error.hpp"
#include "settings/yaml/yaml.h"

namespace deisa {
namespace {

constexpr const char* kName = "libdeisa_yaml.so";

struct Unload {
  void operator()(void* library) const noexcept { ::dlclose(library); }
};

std::string beside_this_library() {
  Dl_info info = {};
  if (::dladdr(reinterpret_cast<const void*>(&beside_this_library), &info) == 0 ||
      info.dli_fname == nullptr) {
    return kName;
  }
  std::error_code failed;
  const auto path = std::filesystem::absolute(info.dli_fname, failed).parent_path() / kName;
  // Else wherever the loader looks.
  return !failed && std::filesystem::exists(path, failed) ? path.string() : kName;
}

}  // namespace

std::string yaml_to_json(const std::string& yaml) {
  const std::unique_ptr<void, Unload> library(
      ::dlopen(beside_this_library().c_str(), RTLD_NOW | RTLD_LOCAL));
  if (!library) {
    const char* reason = ::dlerror();
    throw Error(DEISA_ERROR_UNSUPPORTED, std::string("YAML needs ") + kName +
                                             " beside libdeisa.so (" +
                                             (reason != nullptr ? reason : "not found") +
                                             "). Install it and yaml-cpp (Debian: apt install "
                                             "libyaml-cpp0.7), or write the settings as "
                                             ".json");
  }
  const auto convert =
      reinterpret_cast<decltype(&deisa_yaml_to_json)>(::dlsym(library.get(), "deisa_yaml_to_json"));
  if (convert == nullptr) {
    throw Error(
        DEISA_ERROR_UNSUPPORTED,
        std::string(kName) + " has no function deisa_yaml_to_json: it is not this project's");
  }
  char message[512] = "";
  const std::unique_ptr<char, decltype(&std::free)> json(
      convert(yaml.data(), yaml.size(), message, sizeof(message)), &std::free);
  if (!json) throw Error(DEISA_ERROR_ARGUMENT, message);
  return json.get();
}

}  // namespace deisa
