#include "info/libraries.hpp"

#include <dlfcn.h>

#include <filesystem>

#include "deisa/deisa.h"

namespace deisa {
namespace {

namespace fs = std::filesystem;

struct Library {
  const char* what;
  const char* file;
  const char* variable;   // names another file; nullptr: none does
  bool optional;          // an installation may lack it
  const char* if_absent;  // why one would want it, and how to get it
  const char* needs;      // what it may miss when it cannot be loaded
};

constexpr Library kLibraries[] = {
    {"node actor", "libdeisa_node.so", "DEISA_NODE_LIBRARY", false,
     "The node actor cannot take chunks without it. Install deisa again.", "Install deisa again."},
    {"Gloo", "libdeisa_gloo.so", "DEISA_GLOO_LIBRARY", true,
     "The rendezvous of ranks without MPI needs it. Build deisa with -DDEISA_BUILD_GLOO=ON "
     "(Debian: libgloo-dev).",
     "Install Gloo (Debian: libgloo0)."},
    {"YAML", "libdeisa_yaml.so", nullptr, true,
     "Settings files in YAML need it; JSON does not. Build deisa with -DDEISA_BUILD_YAML=ON "
     "(Debian: "
     "libyaml-cpp-dev).",
     "Install yaml-cpp (Debian: libyaml-cpp0.7)."},
    {"MPI", "libdeisa_mpi.so." DEISA_SOVERSION, nullptr, true,
     "Simulations with MPI use it. Build deisa with -DDEISA_BUILD_MPI=ON (Debian: libopenmpi-dev).",
     "Install or load the MPI that deisa was built with (Debian: libopenmpi3)."},
};

// The first line of what MPI says of itself; "" for a library without it.
std::string mpi_version(void* library) {
  using GetVersion = int (*)(char*, int*);
  const auto get = reinterpret_cast<GetVersion>(::dlsym(library, "MPI_Get_library_version"));
  if (get == nullptr) return "";
  std::string text(8192, '\0');  // at most: MPICH's MPI_MAX_LIBRARY_VERSION_STRING
  int length = 0;
  if (get(text.data(), &length) != 0) return "";
  text.resize(static_cast<size_t>(length));
  return text.substr(0, text.find_first_of(",\n"));
}

Finding check(const Library& library, const Places& places, const fs::path& folder) {
  fs::path path = folder / library.file;
  if (library.variable != nullptr) {
    if (const auto given = places.variable(library.variable)) path = *given;
  }
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    const std::string text = path.string() + " is not there";
    return library.optional ? Finding::note(library.what, text, library.if_absent)
                            : Finding::missing(library.what, text, library.if_absent);
  }
  void* const loaded = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    const char* const reason = ::dlerror();
    return Finding::missing(
        library.what,
        path.string() + " cannot be loaded: " + (reason != nullptr ? reason : "unknown reason"),
        library.needs);
  }
  // Left open: some libraries do not survive being closed.
  const std::string version = mpi_version(loaded);
  return Finding::good(library.what, path.string() + (version.empty() ? "" : ", " + version));
}

}  // namespace

std::string loaded_library() {
  Dl_info info = {};
  void* const function = ::dlsym(RTLD_DEFAULT, "deisa_version");
  if (function == nullptr || ::dladdr(function, &info) == 0 || info.dli_fname == nullptr) return "";
  std::error_code failed;
  const fs::path path = fs::canonical(info.dli_fname, failed);
  return failed ? "" : path.string();
}

std::vector<Finding> check_libraries(const Places& places, const std::string& library) {
  std::vector<Finding> findings;
  const std::string version = deisa_version();
  if (version == DEISA_VERSION) {
    findings.push_back(Finding::good("libdeisa", version + ", " + library));
  } else {
    findings.push_back(Finding::missing(
        "libdeisa", version + ", " + library + ", but deisa-info is of " DEISA_VERSION,
        "Two installations are mixed: look at LD_LIBRARY_PATH."));
  }
  const fs::path folder = fs::path(library).parent_path();
  for (const Library& one : kLibraries) findings.push_back(check(one, places, folder));
  return findings;
}

}  // namespace deisa
