// The matrix product for processors without brgemm's units; tests compare brgemm with it. Each
// element of c is one chain of multiply-adds in the order of k, so a row does not know which rows are beside it.
#pragma once

#include "ops/cpu/simd.h"

namespace pymdm::ops::simd {
namespace {

PYMDM_SIMD vf widen_low(vu pairs) { return (vf)(pairs << 16); }
PYMDM_SIMD vf widen_high(vu pairs) { return (vf)(pairs & 0xFFFF0000u); }
PYMDM_SIMD float widen(uint16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float y;
  memcpy(&y, &bits, 4);
  return y;
}

// One step of k for R rows and C vectors of columns: one element of each row in float32, a pair in bfloat16.
template <int R, int C>
PYMDM_SIMD void step(vf (&acc)[R][C], const float* a, int64_t lda, const float* b, int64_t ldb, int64_t k) {
  for (int j = 0; j < C; ++j) {
    const vf column = load(b + k * ldb + j * kFloats, Whole{});
    for (int r = 0; r < R; ++r) acc[r][j] += a[r * lda + k] * column;
  }
}
template <int R, int C>
PYMDM_SIMD void step(vf (&acc)[R][C], const uint16_t* a, int64_t lda, const uint16_t* b, int64_t ldb, int64_t k) {
  for (int j = 0; j < C; ++j) {
    vu pairs;
    memcpy(&pairs, b + k * ldb + j * 2 * kFloats, sizeof pairs);
    const vf low = widen_low(pairs), high = widen_high(pairs);
    for (int r = 0; r < R; ++r) {
      acc[r][j] += widen(a[r * lda + k]) * low;
      acc[r][j] += widen(a[r * lda + k + 1]) * high;
    }
  }
}

template <int R, int C, class T>
void product_block(int64_t n, int64_t k, const T* a, int64_t lda, const T* b, float* c, int64_t ldc, bool accumulate) {
  constexpr int64_t kPairs = sizeof(T) == 4 ? 1 : 2;
  vf acc[R][C];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < C; ++j) acc[r][j] = accumulate ? load(c + r * ldc + j * kFloats, Whole{}) : vf{};
  for (int64_t i = 0; i < k; i += kPairs) step<R, C>(acc, a, lda, b, n, i);
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < C; ++j) store(c + r * ldc + j * kFloats, acc[r][j], Whole{});
}

template <int R, class T>
void product_panel(int64_t n, int64_t k, const T* a, int64_t lda, const T* b, float* c, int64_t ldc, bool accumulate) {
  constexpr int64_t kPairs = sizeof(T) == 4 ? 1 : 2;
  int64_t j = 0;
  for (; j + 2 * kFloats <= n; j += 2 * kFloats)
    product_block<R, 2>(n, k, a, lda, b + j * kPairs, c + j, ldc, accumulate);
  for (; j + kFloats <= n; j += kFloats) product_block<R, 1>(n, k, a, lda, b + j * kPairs, c + j, ldc, accumulate);
}

template <class T>
void product_rows(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, float* c, int64_t ldc,
                  bool accumulate) {
  constexpr int kRows = kBytes == 64 ? 8 : 4;
  int64_t i = 0;
  for (; i + kRows <= m; i += kRows) product_panel<kRows>(n, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate);
  for (; i < m; ++i) product_panel<1>(n, k, a + i * lda, lda, b, c + i * ldc, ldc, accumulate);
}

}  // namespace
}  // namespace pymdm::ops::simd
