// Communicator::gloo: Gloo is a library of its own, opened when it is used.
#include <dlfcn.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "base/shortage.hpp"
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

// What dlopen had too little of, by what it said, and what to do; "" when it is something else.
std::string lacks(const std::string& reason) {
  const auto says = [&](const char* text) { return reason.find(text) != std::string::npos; };
  if (says("Too many open files")) return system_text(EMFILE);
  if (says("annot allocate memory")) return system_text(ENOMEM);
  if (!says("failed to map segment")) return "";
  return "its folder is mounted noexec, or there is too little memory; raise the limit of the "
         "address space (ulimit -v)";
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
    const char* said = ::dlerror();
    const std::string reason = said != nullptr ? said : path;
    if (const std::string lack = lacks(reason); !lack.empty()) {
      throw Error(DEISA_ERROR_RESOURCE,
                  "the Gloo communicator cannot be loaded (" + reason + "): " + lack);
    }
    throw Error(DEISA_ERROR_UNSUPPORTED,
                "the Gloo communicator cannot be loaded (" + reason + "). Install " + kName +
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
