#include "ops/peak.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "core/cpu.h"
#include "core/parallel.h"
#include "ops/cpu/product.h"

namespace pymdm::ops {
namespace {

// Products of [64, 512] and [512, 64] over and over; their operands are 128 KB.
int64_t tile_products(int64_t operations) {
  constexpr int64_t kRows = 64, kInner = 512, kEach = 2 * kRows * kRows * kInner;
  const std::vector<uint16_t> a(kRows * kInner, 0x3e00), b(kInner * kRows, 0x3e00);  // 1/8
  std::vector<float> c(kRows * kRows);
  const Product product(DType::kBFloat16);
  const int64_t count = std::max<int64_t>(1, operations / kEach);
  for (int64_t i = 0; i < count; ++i) product(kRows, kRows, kInner, a.data(), kInner, b.data(), c.data(), kRows, false);
  product.release();
  return count * kEach;
}

}  // namespace

int64_t peak(DType dtype, int64_t operations) {
  const Kernels& k = kernels();
  const bool tiles = dtype == DType::kBFloat16 && cpu_features().amx_bf16;
  const int64_t parts = 32 * int64_t{num_threads()}, part = operations / parts, round = k.peak(dtype, 1);
  std::atomic<int64_t> done{0};
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      done += tiles ? tile_products(part) : k.peak(dtype, std::max<int64_t>(1, part / round));
  });
  return done.load();
}

}  // namespace pymdm::ops
