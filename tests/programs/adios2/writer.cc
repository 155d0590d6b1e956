// Writes global arrays with ADIOS2 and knows nothing of deisa: writer CONFIG OUTPUT RANK RANKS STEPS [CASE]. Element
// (i, j) of `field`, 10 x 7 over 2 x 2 ranks or 1 x 1, is 1000 t + 10 i + j; element i of `line`, 10, is t + i. CASE: two, shape, sometimes.
#include <adios2.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace {

struct Range {
  size_t start, count;
};

// The part of `cells` that is number `part` of `parts`, as even as can be.
Range part_of(size_t cells, size_t part, size_t parts) {
  const size_t begin = part * cells / parts;
  return {begin, (part + 1) * cells / parts - begin};
}

int write(char** arguments, const std::string& what) {
  const size_t rank = std::stoul(arguments[3]), ranks = std::stoul(arguments[4]),
               steps = std::stoul(arguments[5]);
  adios2::ADIOS adios(arguments[1]);
  adios2::IO io = adios.DeclareIO("output");
  const size_t across = ranks == 4 ? 2 : 1;
  const Range rows = part_of(10, rank / across, ranks / across),
              columns = part_of(7, rank % across, across);
  const Range cells = part_of(10, rank, ranks);
  auto field = io.DefineVariable<double>("field", {10, 7}, {rows.start, columns.start},
                                         {rows.count, columns.count});
  auto line = io.DefineVariable<float>("line", {10}, {cells.start}, {cells.count});
  auto seconds = io.DefineVariable<double>("seconds");
  auto own = io.DefineVariable<int>("own", {adios2::LocalValueDim});
  io.DefineAttribute<std::string>("units", "kelvin");
  adios2::Engine engine = io.Open(arguments[2], adios2::Mode::Write);
  if (what == "two") adios.DeclareIO("second").Open("second.bp", adios2::Mode::Write);
  std::vector<double> block(rows.count * columns.count);
  std::vector<float> part(cells.count);
  for (size_t t = 0; t < steps; ++t) {
    const auto value = [&](size_t i, size_t j) {
      return 1000.0 * static_cast<double>(t) + 10.0 * static_cast<double>(rows.start + i) +
             static_cast<double>(columns.start + j);
    };
    if (engine.BeginStep() != adios2::StepStatus::OK) return 2;
    for (size_t i = 0; i < rows.count; ++i) {
      for (size_t j = 0; j < columns.count; ++j) block[i * columns.count + j] = value(i, j);
    }
    if (what == "shape" && t == 1) {
      field.SetShape({11, 7});
      field.SetSelection({{rows.start + 1, columns.start}, {rows.count, columns.count}});
    }
    engine.Put(field, block.data(), adios2::Mode::Sync);
    block.assign(block.size(), -1.0);  // it may be used again
    if (t % 2 == 0 || what != "sometimes") {
      for (size_t i = 0; i < cells.count; ++i) part[i] = static_cast<float>(t + cells.start + i);
      engine.Put(line, part.data());  // deferred: until PerformPuts or EndStep
      if (t < 2) {
        engine.PerformPuts();
        part.assign(part.size(), -1.0f);
      }
    }
    engine.Put(seconds, 0.1 * static_cast<double>(t));
    engine.Put(own, static_cast<int>(rank));
    engine.EndStep();
  }
  engine.Close();
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 6) return 64;
  try {
    return write(arguments, count > 6 ? arguments[6] : "");
  } catch (const std::exception& error) {
    std::cerr << "failed: " << error.what() << "\n";
    return 1;
  }
}
