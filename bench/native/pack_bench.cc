// The one copy of a chunk, against memcpy of the same bytes.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "chunk/layout.hpp"

namespace {

using deisa::Layout;

// The simulation's memory, touched.
std::vector<std::byte> block(size_t bytes) { return std::vector<std::byte>(bytes, std::byte{1}); }

// Where a chunk is packed to: page-aligned, as a slot is, and touched.
class Slot {
 public:
  explicit Slot(size_t bytes) : data_(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096)) {
    if (data_ == nullptr) std::abort();
    std::memset(data_, 1, bytes);
  }
  ~Slot() { std::free(data_); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  void* data() const { return data_; }

 private:
  void* data_;
};

void count(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(bytes));
}

void run_pack(benchmark::State& state, const Layout& layout, size_t block_bytes) {
  const std::vector<std::byte> from = block(block_bytes);
  const Slot to(layout.bytes());
  for (auto _ : state) {
    benchmark::DoNotOptimize(deisa::pack(layout, from.data(), to.data()));
    benchmark::ClobberMemory();
  }
  count(state, layout.bytes());
}

void run_memcpy(benchmark::State& state, size_t bytes) {
  const std::vector<std::byte> from = block(bytes);
  const Slot to(bytes);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), bytes);
    benchmark::ClobberMemory();
  }
  count(state, bytes);
}

// Registers pack/NAME, and memcpy/NAME with the same bytes.
void pair(const std::string& name, const Layout& layout, size_t block_bytes) {
  benchmark::RegisterBenchmark(("pack/" + name).c_str(), [=](benchmark::State& state) {
    run_pack(state, layout, block_bytes);
  });
  const size_t bytes = layout.bytes();
  benchmark::RegisterBenchmark(("memcpy/" + name).c_str(),
                               [=](benchmark::State& state) { run_memcpy(state, bytes); });
}

void halo(const std::string& name, const std::vector<int64_t>& shape, int64_t cells,
          deisa_order order) {
  const std::vector<int64_t> around(shape.size(), cells);
  const Layout layout = Layout::inside(DEISA_FLOAT64, shape, around, around, order);
  const int64_t elements =
      std::accumulate(shape.begin(), shape.end(), int64_t{1},
                      [&](int64_t product, int64_t n) { return product * (n + 2 * cells); });
  pair(name, layout, static_cast<size_t>(elements) * sizeof(double));
}

void fortran(const std::string& name, const std::vector<int64_t>& shape) {
  halo(name, shape, 0, DEISA_ORDER_FORTRAN);
}

const bool registered = [] {
  pair("contiguous_2MiB", Layout::contiguous(DEISA_FLOAT64, {512, 512}), 2u << 20);
  pair("contiguous_64MiB", Layout::contiguous(DEISA_FLOAT64, {8192, 1024}), 64u << 20);
  Layout every_other = Layout::contiguous(DEISA_FLOAT64, {512, 512});
  every_other.strides = {512 * 16, 16};
  pair("strided_2MiB", every_other, 4u << 20);
  // Rows of 512 B, of 4 KiB, and a chunk that is larger than the caches.
  halo("halo_2d_512B", {4096, 64}, 1, DEISA_ORDER_C);
  halo("halo_2d_4KiB", {512, 512}, 1, DEISA_ORDER_C);
  halo("halo_2d_16MiB", {1024, 2048}, 2, DEISA_ORDER_C);
  halo("halo_2d_64MiB", {4096, 2048}, 1, DEISA_ORDER_C);
  halo("halo_3d_512B", {64, 64, 64}, 1, DEISA_ORDER_C);
  halo("halo_3d_1KiB", {128, 128, 128}, 1, DEISA_ORDER_C);
  halo("halo_3d_512B_16MiB", {512, 64, 64}, 2, DEISA_ORDER_C);
  fortran("fortran_2d_2MiB", {512, 512});
  fortran("fortran_3d_2MiB", {64, 64, 64});
  halo("fortran_halo_3d_2MiB", {64, 64, 64}, 1, DEISA_ORDER_FORTRAN);
  return true;
}();

}  // namespace
