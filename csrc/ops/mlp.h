// mlp: the feed-forward part of a block, W2 act(W1 x + b1) + b2 with act GELU (both forms), SwiGLU or GEGLU.
#pragma once

#include <cstdint>

#include "ops/linear.h"

namespace pymdm::ops {

struct Mlp {
  bool gated = false;  // SwiGLU: silu(gate) * up, with erf GEGLU: gelu(gate) * up; false is GELU
  bool erf = false;    // GELU by the error function; false: its tanh form
  Packed in;           // a gated layer's panels are half gates, half the same columns of up
  Packed out;

  // Columns a row of the hidden matrix has: F rounded up to whole panels; those beyond F are zeros.
  int64_t hidden() const { return in.panels * (gated ? in.panel / 2 : in.panel); }
};

// in_weight [F, D] or, gated, [2F, D] with the gate's rows first; out_weight [D, F]. `gate` scales the output (adaLN).
Mlp pack_mlp(const char* name, bool gated, const Parameter& in_weight, const Parameter* in_bias,
             const Parameter& out_weight, const Parameter* out_bias, DType dtype, const float* gate);

// residual [m, D] += gate * mlp(x [m, D]), in chunks of rows so that `hidden` [mlp_chunk(m), mlp.hidden()] stays in
// cache. Chunks do not change results.
void mlp_residual(const Mlp& mlp, const Matrix& x, int64_t m, const Gates& gates, const Matrix& hidden,
                  const Matrix& residual);
int64_t mlp_chunk(int64_t m);

// out [m, out] = gelu(x W^T + b)
void linear_gelu(const Packed& w, bool erf, const Matrix& x, int64_t m, const Matrix& out);

}  // namespace pymdm::ops
