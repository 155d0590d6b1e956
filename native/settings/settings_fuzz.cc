// A settings file in JSON, and settings in the environment. Input: the text of the file; after each NUL, a byte, which
// setting, and its value in the environment.
#include <fcntl.h>
#include <unistd.h>

#include "base/testing/fuzz.hpp"
#include "settings/options.hpp"
#include "settings/settings.hpp"
#include "settings/testing/environment.hpp"

namespace {

using deisa::testing::environment;
using deisa::testing::variables;

// Ends with the process.
const std::string& settings_path() {
  static const struct File {
    std::string path = "/dev/shm/deisa-fuzz-" + std::to_string(::getpid()) + ".json";
    ~File() { ::unlink(path.c_str()); }
  } file;
  return file.path;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  size_t end = std::min(text.find('\0'), text.size());
  {
    const deisa::FileDescriptor file(
        ::open(settings_path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    (void)!::write(file.get(), text.data(), end);
  }
  variables().clear();
  while (end < text.size()) {
    const size_t next = std::min(text.find('\0', end + 2), text.size());
    if (end + 2 > text.size()) break;
    const auto& settings = deisa::all_settings();
    const deisa::Setting& one =
        settings[static_cast<unsigned char>(text[end + 1]) % settings.size()];
    variables()[one.variable] = text.substr(end + 2, next - end - 2);
    end = next;
  }
  variables()["DEISA_CONFIG"] = settings_path();
  deisa_options given = DEISA_OPTIONS_INIT;
  deisa::Problems problems;
  const deisa::Options options = deisa::read_options(given, environment, problems);
  (void)options.alike();
  if (problems.empty()) {
    deisa::fuzz::check(options.world_size >= 1 && options.bridge_id < options.world_size,
                       "the rank is in the world");
  }
  return 0;
}
