// The folders of a recording, which are named after arrays. Input: names of arrays, between line ends.
#include <map>

#include "backend/file/file_backend.hpp"
#include "base/testing/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using deisa::fuzz::check;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::map<std::string, std::string> arrays;  // by folder
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string array(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (array.empty()) continue;
    const std::string folder = deisa::array_folder(array);
    check(!folder.empty() && folder.size() <= 255, "a file system takes the name: " + folder);
    check(folder.find('/') == std::string::npos && folder.find('\0') == std::string::npos &&
              folder[0] != '.',
          "it is one name: " + folder);
    check(folder != "deisa.json" && folder != "closed", "it is none of the backend's own");
    check(arrays.emplace(folder, array).first->second == array,
          "no two arrays have one folder: " + folder);
  }
  return 0;
}
