// A backend that writes arrays as NumPy files, for debugging without Ray: see docs/settings.md.
#pragma once

#include "backend/null_backend.hpp"
#include "backend/plan.hpp"

namespace deisa {

// The name of an array's folder. Letters that a shell or a path could misread become %XX; the end
// of a long name becomes a hash of it.
std::string array_folder(const std::string& array);

// Each rank writes its part of <folder>/<array>/<timestep>.npy.part. The last one to do so gives
// the file its name without .part: what ends in .npy is complete.
class FileBackend : public NullBackend {
 public:
  // By one rank, before the others construct theirs: makes the folder, and in it deisa.json, which
  // says whose it is. Throws Error(DEISA_ERROR_ARGUMENT) if the folder holds anything, and
  // Error(DEISA_ERROR_RESOURCE) if it cannot be made.
  static void make_folder(const std::string& folder, const Plan& plan);

  // Throws Error(DEISA_ERROR_RESOURCE) if `folder` is not the one that the other rank made.
  FileBackend(const std::vector<ArrayMetadata>& arrays, int rank, std::string folder,
              const Plan& plan);

  // Writes the file `closed`, which holds the timestep. Throws Error(DEISA_ERROR_RESOURCE) if some
  // file lacks a rank's part.
  void end(int64_t timestep, const Deadline& deadline) override;
  void describe(uint32_t array, const Deadline& deadline) override;

 protected:
  void take(uint32_t array, int64_t timestep, const void* data) override;

 private:
  struct Target {
    std::string folder;
    std::string header;                 // of the .npy file
    std::vector<int64_t> global_shape;  // elements
    std::vector<int64_t> start;         // of this rank's chunk
    size_t bytes = 0;                   // of the whole file
    size_t chunks = 0;
  };

  static void fit(Target& target, deisa_dtype dtype);
  void write_part(const Target& target, const ArrayMetadata& array, const std::string& path,
                  const void* data) const;
  void sign(const Target& target, const std::string& path) const;

  void refuse_what_is_incomplete() const;

  std::string folder_;
  std::vector<std::string> all_arrays_;  // also those of other ranks
  std::vector<Target> targets_;          // by array
};

class FileStarter final : public Starter {
 public:
  explicit FileStarter(std::string folder) : folder_(std::move(folder)) {}
  void start(const Ranks& ranks, const Deadline& deadline,
             std::unique_ptr<Backend>& backend) override;

 private:
  std::string folder_;
};

}  // namespace deisa
