// Vectors of the widest registers this file is compiled for, by the compilers' vector extensions. Everything here has
// internal linkage: an inline function shared between files of different instruction sets could end up as the wrong
// one.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int64_t kLanes = kBytes / 4;

typedef float vf __attribute__((vector_size(kBytes)));
typedef int32_t vi __attribute__((vector_size(kBytes)));
typedef uint32_t vu __attribute__((vector_size(kBytes)));
typedef uint16_t vh __attribute__((vector_size(kBytes / 2)));

#define PYMDM_SIMD static inline __attribute__((always_inline))

PYMDM_SIMD vf splat(float x) { return vf{} + x; }

// How many lanes of a vector are meant: all, or the first n (the others read as zeros and are not written).
struct Whole {};
PYMDM_SIMD vf load(const float* p, Whole) {
  vf x;
  memcpy(&x, p, sizeof x);
  return x;
}
PYMDM_SIMD vf load(const float* p, int64_t n) {
  vf x{};
  memcpy(&x, p, n * 4);
  return x;
}
PYMDM_SIMD vf first(vf x, Whole) { return x; }
PYMDM_SIMD vf first(vf x, int64_t n) {
  vf y{};
  memcpy(&y, &x, n * 4);
  return y;
}

// To bfloat16: round to nearest even.
PYMDM_SIMD vh to_bfloat16(vf x) {
  const vu bits = (vu)x;
  return __builtin_convertvector((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16, vh);
}
PYMDM_SIMD void store(float* p, vf x, Whole) { memcpy(p, &x, sizeof x); }
PYMDM_SIMD void store(float* p, vf x, int64_t n) { memcpy(p, &x, n * 4); }
PYMDM_SIMD void store(uint16_t* p, vf x, Whole) {
  const vh y = to_bfloat16(x);
  memcpy(p, &y, sizeof y);
}
PYMDM_SIMD void store(uint16_t* p, vf x, int64_t n) {
  const vh y = to_bfloat16(x);
  memcpy(p, &y, n * 2);
}

// Calls body(i, lanes) over a row of n elements, a vector at a time.
template <class Body>
PYMDM_SIMD void for_row(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, Whole{});
  if (i < n) body(i, n - i);
}
#define PYMDM_BODY(i, lanes) [&](int64_t i, auto lanes) __attribute__((always_inline))

PYMDM_SIMD vf max(vf a, vf b) { return a < b ? b : a; }
PYMDM_SIMD float sum(vf x) {
  float total = 0;
  for (int64_t i = 0; i < kLanes; ++i) total += x[i];
  return total;
}

// 2^x for x <= 127, relative error below 2e-7; 0 below -126; NaN stays NaN. x = n + f with |f| <= 1/2; 2^f by its
// Taylor series to f^6 (the next term is below 2e-8), n into the exponent.
PYMDM_SIMD vf exp2_of(vf x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which lands in the low bits
  const vf clamped = x < splat(-126.0f) ? splat(-126.0f) : x;
  const vf shifted = clamped + kMagic;
  const vf f = clamped - (shifted - kMagic);
  vf p = splat(1.5403530e-4f);
  p = p * f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  p = p * f + 1.0f;
  const vf y = (vf)((vi)p + (vi)((vu)shifted << 23));
  return x < splat(-126.0f) ? splat(0.0f) : y;
}

// x / (1 + e^-z)
PYMDM_SIMD vf times_sigmoid(vf x, vf z) {
  const vf e = z * -1.44269504f;
  return x / (1.0f + exp2_of(e > splat(126.0f) ? splat(126.0f) : e));
}

}  // namespace
