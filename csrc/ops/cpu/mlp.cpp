#include "ops/mlp.h"

#include "ops/cpu/tiles.h"

namespace pymdm::ops {
namespace {

constexpr int64_t kChunk = 1024;  // x 3072 bfloat16 is 6 MB of hidden rows

void activate(const Mlp& mlp, const Matrix& x, int64_t m, const Matrix& hidden) {
  const Kernels& k = kernels();
  const Packed& w = mlp.in;
  const int64_t width = mlp.gated ? w.panel / 2 : w.panel;
  for_tiles(w, x, m, [&](int64_t first, int64_t rows, int64_t panel, const float* tile) {
    const float* bias = w.bias.data() + panel * w.panel;
    for (int64_t i = 0; i < rows; ++i) {
      const float* c = tile + i * w.panel;
      char* out = hidden.row(first + i, panel * width);
      if (mlp.gated)
        (mlp.erf ? k.geglu : k.swiglu)(c, bias, c + width, bias + width, width, out, hidden.dtype);
      else
        (mlp.erf ? k.gelu_erf : k.gelu)(c, bias, width, out, hidden.dtype);
    }
  });
}

Matrix rows_from(const Matrix& x, int64_t first) { return {x.row(first), x.stride, x.dtype}; }

}  // namespace

Mlp pack_mlp(const char* name, bool gated, const Parameter& in_weight, const Parameter* in_bias,
             const Parameter& out_weight, const Parameter* out_bias, DType dtype, const float* gate) {
  Mlp mlp;
  mlp.gated = gated;
  const int64_t F = out_weight.columns;
  PackPlan plan;
  plan.out = F;
  if (gated) {
    const int64_t panel = panel_columns(dtype), half = panel / 2;
    plan.panel = panel;
    plan.out = (F + half - 1) / half * panel;
    plan.source = [F, panel, half](int64_t n) {
      const int64_t column = n / panel * half + n % half;
      return column >= F ? -1 : n % panel < half ? column : F + column;
    };
  }
  const std::string prefix(name);
  mlp.in = pack((prefix + "mlp_in").c_str(), in_weight, in_bias, dtype, plan);
  PackPlan back;
  back.out = out_weight.rows;
  back.row_scale = gate;
  mlp.out = pack((prefix + "mlp_out").c_str(), out_weight, out_bias, dtype, back);
  return mlp;
}

int64_t mlp_chunk(int64_t m) { return std::min(m, kChunk); }

void mlp_residual(const Mlp& mlp, const Matrix& x, int64_t m, const Gates& gates, const Matrix& hidden,
                  const Matrix& residual) {
  for (int64_t first = 0; first < m; first += kChunk) {
    const int64_t rows = std::min(kChunk, m - first);
    Gates here = gates;
    if (here.sequence) here.sequence += first;
    activate(mlp, rows_from(x, first), rows, hidden);
    linear_residual(mlp.out, hidden, rows, here, rows_from(residual, first));
  }
}

void linear_gelu(const Packed& w, bool erf, const Matrix& x, int64_t m, const Matrix& out) {
  const Kernels& k = kernels();
  for_tiles(w, x, m, [&](int64_t first, int64_t rows, int64_t panel, const float* tile) {
    const int64_t column = panel * w.panel, n = std::min(w.panel, w.out - column);
    for (int64_t i = 0; i < rows; ++i)
      (erf ? k.gelu_erf : k.gelu)(tile + i * w.panel, w.bias.data() + column, n, out.row(first + i, column), out.dtype);
  });
}

}  // namespace pymdm::ops
