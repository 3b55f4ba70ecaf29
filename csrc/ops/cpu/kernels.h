// Row kernels compute what surrounds the matrix products. One source (kernels_body.h) is compiled for AVX-512, for AVX2
// and for the plain processor; the table is chosen at run time. Outputs are float32 or bfloat16, arithmetic is float32.
#pragma once

#include <cstdint>

#include "core/types.h"

namespace pymdm::ops {

struct NormRow {
  int64_t width = 0;
  bool centred = true;  // LayerNorm; false is RMSNorm
  float eps = 0;
  const float* weight = nullptr;  // [width]
  const float* bias = nullptr;    // [width] or null
};

struct Norm;
NormRow norm_row(const Norm& norm);

struct Kernels {
  const char* name;
  // out = norm(x) * weight + bias, then * (1 + scale) + shift where scale is given.
  void (*norm)(const NormRow& norm, const float* x, const float* shift, const float* scale, void* out, DType dtype);
  // out = c + bias
  void (*store)(const float* c, const float* bias, int64_t n, void* out, DType dtype);
  // x += gate * (c + bias); gate null means 1
  void (*add)(const float* c, const float* bias, const float* gate, int64_t n, float* x);
  // out = gelu(c + bias), tanh form
  void (*gelu)(const float* c, const float* bias, int64_t n, void* out, DType dtype);
  // out = gelu(c + bias) by the error function, absolute error below 4e-7
  void (*gelu_erf)(const float* c, const float* bias, int64_t n, void* out, DType dtype);
  // out = silu(gate + gate_bias) * (up + up_bias)
  void (*swiglu)(const float* gate, const float* gate_bias, const float* up, const float* up_bias, int64_t n, void* out,
                 DType dtype);
  // out = gelu_erf(gate + gate_bias) * (up + up_bias)
  void (*geglu)(const float* gate, const float* gate_bias, const float* up, const float* up_bias, int64_t n, void* out,
                DType dtype);
  // out = scale * rotate-half(c + bias), n = 2 * half elements
  void (*rotate)(const float* c, const float* bias, const float* cos, const float* sin, float scale, int64_t half,
                 void* out, DType dtype);
  // max(start, s[0 .. n))
  float (*maximum)(const float* s, int64_t n, float start);
  // p = 2^(s - top) over n elements, zeros up to `padded`; returns the sum. p may be s.
  float (*softmax)(const float* s, int64_t n, int64_t padded, float top, void* p, DType dtype);
  // out = factor * o
  void (*scale)(const float* o, float factor, int64_t n, void* out, DType dtype);
  // scores[j] = sum of a b_j over n elements for `count` rows b_j, `stride` elements apart, all of one type
  void (*dots)(const void* a, const void* b, int64_t stride, int64_t count, int64_t n, float* scores, DType dtype);
  // out = fade * out + sum of weights[j] v_j, in the order of j, for `count` rows v_j, `stride` elements apart
  void (*mix)(float* out, float fade, const float* weights, const void* v, int64_t stride, int64_t count, int64_t n,
              DType dtype);
  // c [m, n] (+)= a [m, k] b, float32 sums in the order of k for each element whatever m is. b is packed as in
  // product.h. n is a multiple of 16. `next`, where it is not null, is the b of n and k that is read after this one.
  void (*product)(DType dtype, int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, float* c,
                  int64_t ldc, bool accumulate, const void* next);
  // Keeps the multipliers of one thread busy on registers; returns the floating-point operations it did.
  int64_t (*peak)(DType dtype, int64_t rounds);
};

// The table for the processor and PYMDM_CPU_DISABLE.
const Kernels& kernels();

}  // namespace pymdm::ops
