// Computes the condition of adaLN, the vector that the modulations are linear in:
//   c(t) = silu(W2 silu(W1 sinusoid(t)))
#pragma once

#include "core/types.h"
#include "ops/linear.h"

namespace pymdm::model {

constexpr int64_t kTimeFeatures = 256;

// sinusoid(t) [256]: cos(t f_i), then sin(t f_i), f_i = 10000^(-i / 128). out [B, cond]; `hidden` [B, 256 + cond] is
// scratch. Both float32 with ops::kRowPadding rows more.
// With `sigma` of sigma(t) = -log(1 - (1 - 0.001) t), the log-linear noise of SEDD and MDLM, instead of t.
void condition(const ops::Packed& time_in, const ops::Packed& time_out, bool sigma, Span<const double> times,
               const ops::Matrix& hidden, const ops::Matrix& out);

}  // namespace pymdm::model
