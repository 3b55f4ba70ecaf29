#include "ops/linear.h"

#include <algorithm>
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
  w.panel = round_up(plan.panel ? plan.panel : std::min(panel_columns(dtype), plan.out), 16);
  w.panels = (plan.out + w.panel - 1) / w.panel;
  // A panel's block stays within the second-level cache beside a strip of rows: 128 x 1024 float32 is 512 KB.
  const int64_t most = dtype == DType::kFloat32 ? 1024 : 4096;
  w.blocks = (w.padded_in() + most - 1) / most;
  w.block = w.blocks == 1 ? w.padded_in() : round_up((w.padded_in() + w.blocks - 1) / w.blocks, 64);
  const int64_t size = static_cast<int64_t>(element_size(dtype));
  char* data = w.data.reserve(w.panels * w.padded_in() * w.panel * size);
  w.bias.assign(w.panels * w.panel, 0.0f);
  const int64_t padded = w.padded_in();
  parallel_for(w.panels, 1, [&](int64_t begin, int64_t end) {
    // 16 rows by 256 inputs at a time: rows are read and panels written in whole cache lines.
    constexpr int64_t kRows = 16, kInputs = 256, kStride = kInputs + 8;
    std::vector<float> piece(kRows * kStride);
    for (int64_t first = begin * w.panel; first < end * w.panel; first += kRows) {
      int64_t source[kRows];
      for (int64_t j = 0; j < kRows; ++j) {
        const int64_t n = first + j;
        source[j] = n >= plan.out ? -1 : plan.source ? plan.source(n) : n;
      }
      const auto factor = [&](int64_t row) { return plan.row_scale ? double{plan.row_scale[row]} : 1.0; };
      char* panel = data + (first / w.panel * padded * w.panel) * size;
      for (int64_t from = 0; from < padded; from += kInputs) {
        const int64_t count = std::min(kInputs, padded - from), given = std::min(count, w.in - from);
        for (int64_t j = 0; j < kRows; ++j) {
          float* to = piece.data() + j * kStride;
          std::fill(to + (source[j] < 0 ? 0 : given), to + count, 0.0f);
          if (source[j] < 0) continue;
          const Parameter::Row row = weight.row(source[j]);
          load_row(row.data, row.dtype, from, given, factor(source[j]), to);
          check(all_finite(to, given), "engine", "parameter ", name, ".weight has a value that is not finite, in row ",
                source[j]);
        }
        const float* at = piece.data();
        if (dtype == DType::kFloat32)
          for (int64_t k = 0; k < count; ++k) {
            float* to = reinterpret_cast<float*>(panel) + (from + k) * w.panel + first % w.panel;
            for (int64_t j = 0; j < kRows; ++j) to[j] = at[j * kStride + k];
          }
        else
          for (int64_t k = 0; k < count; k += 2) {
            uint16_t* to = reinterpret_cast<uint16_t*>(panel) + ((from + k) / 2 * w.panel + first % w.panel) * 2;
            for (int64_t j = 0; j < kRows; ++j) {
              to[2 * j] = bfloat16_of(at[j * kStride + k]);
              to[2 * j + 1] = bfloat16_of(at[j * kStride + k + 1]);
            }
          }
      }
      for (int64_t j = 0; j < kRows && bias != nullptr; ++j) {
        if (source[j] < 0) continue;
        const Parameter::Row row = bias->row(source[j]);
        const float value = w.bias[first + j] =
            static_cast<float>(factor(source[j]) * load_element(row.data, row.dtype, 0));
        check(std::isfinite(value), "engine", "parameter ", name, ".bias has a value that is not finite, in row ",
              source[j]);
      }
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
