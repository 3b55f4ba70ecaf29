// Vectors of the widest registers this file is compiled for, by the compilers' vector extensions. Everything here has
// internal linkage: an inline function shared between files of different instruction sets could end up as the wrong
// one.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace pymdm::ops::simd {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX2__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int64_t kFloats = kBytes / 4;  // float32 elements of a vector

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
PYMDM_SIMD vf load(const uint16_t* p, Whole) {  // bfloat16
  vh x;
  memcpy(&x, p, sizeof x);
  return (vf)(__builtin_convertvector(x, vu) << 16);
}
PYMDM_SIMD vf load(const uint16_t* p, int64_t n) {
  vh x{};
  memcpy(&x, p, n * 2);
  return (vf)(__builtin_convertvector(x, vu) << 16);
}
PYMDM_SIMD vf first(vf x, Whole) { return x; }
PYMDM_SIMD vf first(vf x, int64_t n) {
  vf y{};
  memcpy(&y, &x, n * 4);
  return y;
}

// To bfloat16: round to nearest even.
PYMDM_SIMD vh to_bfloat16(vf x) {
#if defined(__AVX512BF16__)
  return (vh)_mm512_cvtneps_pbh((__m512)x);  // one instruction for five; numbers below 2^-126 become zero
#endif
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
  for (; i + kFloats <= n; i += kFloats) body(i, Whole{});
  if (i < n) body(i, n - i);
}
#define PYMDM_BODY(i, lanes) [&](int64_t i, auto lanes) __attribute__((always_inline))

// Where b is NaN, so is the result.
PYMDM_SIMD vf max(vf a, vf b) { return a > b ? a : b; }
PYMDM_SIMD vf min(vf a, vf b) { return a < b ? a : b; }
PYMDM_SIMD float sum(vf x) {
  float total = 0;
  for (int64_t i = 0; i < kFloats; ++i) total += x[i];
  return total;
}

// How exact an elementary function must be: for a float32 result, or for one that is rounded to bfloat16 (2^-9) next.
struct Fine {};
struct Coarse {};
PYMDM_SIMD Fine grade(const float*) { return {}; }
PYMDM_SIMD Coarse grade(const uint16_t*) { return {}; }

// 2^f for |f| <= 1/2: Taylor series to f^6, relative error below 2e-7; fit to f^4, below 5e-6.
PYMDM_SIMD vf exp2_fraction(vf f, Fine) {
  vf p = splat(1.5403530e-4f);
  p = p * f + 1.3333558e-3f;
  p = p * f + 9.6181291e-3f;
  p = p * f + 5.5504109e-2f;
  p = p * f + 2.4022651e-1f;
  p = p * f + 6.9314718e-1f;
  return p * f + 1.0f;
}
PYMDM_SIMD vf exp2_fraction(vf f, Coarse) {
  vf p = splat(9.57010143e-03f);
  p = p * f + 5.59178603e-02f;
  p = p * f + 2.40247448e-01f;
  p = p * f + 6.93121815e-01f;
  return p * f + 9.99999261e-01f;
}

// 2^x for x <= 127, 2^-126 for anything below -126; NaN stays NaN. x = n + f with |f| <= 1/2, n goes into the exponent.
template <class Grade>
PYMDM_SIMD vf exp2_of(vf x, Grade grade) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which lands in the low bits
  x = max(splat(-126.0f), x);
  const vf shifted = x + kMagic;
  const vf p = exp2_fraction(x - (shifted - kMagic), grade);
  return (vf)((vi)p + (vi)((vu)shifted << 23));
}

// x / (1 + e^-z)
template <class Grade>
PYMDM_SIMD vf times_sigmoid(vf x, vf z, Grade grade) {
  return x / (1.0f + exp2_of(min(splat(126.0f), z * -1.44269504f), grade));
}

}  // namespace
}  // namespace pymdm::ops::simd
