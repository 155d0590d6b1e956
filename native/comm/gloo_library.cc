// Communicator::gloo: Gloo is a library of its own, opened when it is used.
#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "comm/communicator.hpp"
#include "deisa/deisa_gloo.h"

namespace deisa {
namespace {

constexpr const char* kName = "libdeisa_gloo.so";

// Beside the library that holds this code.
std::string beside_this_library() {
  Dl_info info = {};
  if (::dladdr(reinterpret_cast<const void*>(&beside_this_library), &info) == 0 ||
      info.dli_fname == nullptr) {
    return {};
  }
  std::error_code failed;
  const auto path = std::filesystem::absolute(info.dli_fname, failed);
  return failed ? std::string() : (path.parent_path() / kName).string();
}

using Open = decltype(&deisa_gloo_open);

Open load() {
  const char* given = std::getenv("DEISA_GLOO_LIBRARY");
  std::string path = given != nullptr ? given : "";
  std::error_code ignored;
  if (path.empty()) {
    path = beside_this_library();
    // Else wherever the loader looks.
    if (path.empty() || !std::filesystem::exists(path, ignored)) path = kName;
  }
  // Never closed: Gloo has threads.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* reason = ::dlerror();
    throw Error(DEISA_ERROR_UNSUPPORTED,
                "the Gloo communicator cannot be loaded (" +
                    std::string(reason != nullptr ? reason : path) + "). Install " + kName +
                    " beside libdeisa.so or set DEISA_GLOO_LIBRARY to its path, and install Gloo "
                    "(Debian: apt install libgloo0); or give the bridge a communicator of your own "
                    "(MPI: deisa_mpi_open)");
  }
  const auto open = reinterpret_cast<Open>(::dlsym(library, "deisa_gloo_open"));
  if (open == nullptr) {
    throw Error(DEISA_ERROR_UNSUPPORTED,
                path + " has no function deisa_gloo_open: it is not this project's " + kName);
  }
  return open;
}

}  // namespace

std::unique_ptr<Communicator> Communicator::gloo(const Rendezvous& rendezvous,
                                                 const Deadline& deadline) {
  const Open open = load();
  deisa_communicator table = {};
  deisa_error error = {};
  const deisa_status status =
      open(rendezvous.rank, rendezvous.size, rendezvous.master_address.c_str(),
           rendezvous.master_port, deadline.seconds(), &table, &error);
  if (status != DEISA_OK) throw read_error(status, error);
  try {
    return std::make_unique<Communicator>(table);
  } catch (...) {
    if (table.release != nullptr) table.release(table.self);
    throw;
  }
}

}  // namespace deisa
