#include "ops/linear.h"

#include <cmath>

#include "core/error.h"
#include "ops/convert.h"
#include "ops/cpu/tiles.h"

namespace pymdm::ops {
namespace {

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

uint16_t bfloat16_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace

float* scratch(int64_t floats) {
  thread_local Buffer buffer;
  return reinterpret_cast<float*>(buffer.reserve(floats * 4));
}

Packed pack(const char* name, const Parameter& weight, const Parameter* bias, DType dtype, const PackPlan& plan) {
  Packed w;
  w.dtype = dtype;
  w.in = weight.columns;
  w.out = plan.out;
  w.panel = round_up(plan.panel ? plan.panel : std::min(kPanel, plan.out), 16);
  w.panels = (plan.out + w.panel - 1) / w.panel;
  // A panel's block stays within the second-level cache beside a strip of rows: 128 x 1024 float32 is 512 KB.
  const int64_t most = dtype == DType::kFloat32 ? 1024 : 4096;
  w.blocks = (w.padded_in() + most - 1) / most;
  w.block = w.blocks == 1 ? w.padded_in() : round_up((w.padded_in() + w.blocks - 1) / w.blocks, 64);
  const int64_t size = static_cast<int64_t>(element_size(dtype));
  char* data = w.data.reserve(w.panels * w.padded_in() * w.panel * size);
  w.bias.assign(w.panels * w.panel, 0.0f);
  parallel_for(w.panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin * w.panel; n < end * w.panel; ++n) {
      const int64_t p = n / w.panel, j = n % w.panel;
      const int64_t row = n >= plan.out ? -1 : plan.source ? plan.source(n) : n;
      const double factor = row >= 0 && plan.row_scale ? plan.row_scale[row] : 1.0;
      const char* source = static_cast<const char*>(weight.data) +
                           (row < 0 ? 0 : row) * weight.columns * static_cast<int64_t>(element_size(weight.dtype));
      char* panel = data + p * w.padded_in() * w.panel * size;
      for (int64_t k = 0; k < w.padded_in(); ++k) {
        const auto value =
            static_cast<float>(row < 0 || k >= w.in ? 0.0 : factor * load_element(source, weight.dtype, k));
        check(std::isfinite(value), "engine", "parameter ", name, ".weight has a value that is not finite, in row ",
              row);
        if (dtype == DType::kFloat32)
          reinterpret_cast<float*>(panel)[k * w.panel + j] = value;
        else
          reinterpret_cast<uint16_t*>(panel)[(k / 2 * w.panel + j) * 2 + k % 2] = bfloat16_of(value);
      }
      if (row < 0 || bias == nullptr) continue;
      w.bias[n] = static_cast<float>(factor * load_element(bias->data, bias->dtype, row));
      check(std::isfinite(w.bias[n]), "engine", "parameter ", name, ".bias has a value that is not finite, in row ",
            row);
    }
  });
  return w;
}

void linear(const Packed& w, const Matrix& x, int64_t m, const Matrix& out) {
  const Kernels& k = kernels();
  for_tiles(w, x, m, [&](int64_t first, int64_t rows, int64_t panel, const float* tile) {
    const int64_t column = panel * w.panel, n = std::min(w.panel, w.out - column);
    for (int64_t i = 0; i < rows; ++i)
      k.store(tile + i * w.panel, w.bias.data() + column, n, out.row(first + i, column), out.dtype);
  });
}

void linear_residual(const Packed& w, const Matrix& x, int64_t m, const Gates& gates, const Matrix& residual) {
  const Kernels& k = kernels();
  for_tiles(w, x, m, [&](int64_t first, int64_t rows, int64_t panel, const float* tile) {
    const int64_t column = panel * w.panel, n = std::min(w.panel, w.out - column);
    for (int64_t i = 0; i < rows; ++i) {
      const float* gate = gates.gate ? gates.gate + gates.sequence[first + i] * gates.stride + column : nullptr;
      k.add(tile + i * w.panel, w.bias.data() + column, gate, n,
            reinterpret_cast<float*>(residual.row(first + i, column)));
    }
  });
}

}  // namespace pymdm::ops
