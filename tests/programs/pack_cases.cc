// Packs chunks whose memory layouts another program made up: test_layouts.py compares the bytes
// with NumPy's.
//
//   pack_cases CASES MEMORY OUTPUT
//
// CASES is a JSON list of {"metadata": as for deisa_define_json, "at": the byte of the file MEMORY
// that is sent}. OUTPUT gets the packed chunks, one after the other.
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "chunk/metadata.hpp"

namespace {

std::string read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(std::string("cannot read ") + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void pack_all(const char* cases, const char* memory_path, const char* output_path) {
  const std::string memory = read(memory_path);
  std::ofstream output(output_path, std::ios::binary);
  for (const nlohmann::json& one : nlohmann::json::parse(read(cases))) {
    deisa::Problems problems;
    const auto array = deisa::parse_metadata("case", one.at("metadata"), problems);
    problems.raise(DEISA_ERROR_ARGUMENT, one.dump());
    std::vector<char> packed(array->bytes);
    deisa::pack(array->layout, memory.data() + one.at("at").get<int64_t>(), packed.data());
    output.write(packed.data(), static_cast<std::streamsize>(packed.size()));
  }
  if (!output.flush()) throw std::runtime_error(std::string("cannot write ") + output_path);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: pack_cases CASES MEMORY OUTPUT\n";
    return 2;
  }
  try {
    pack_all(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
