// The matrix product on vectors. A block of 8 rows by 2 vectors of columns stays in registers over all of k, which
// keeps the multipliers busy from 8 rows on; the b of the columns that come next is asked for meanwhile, so that
// reading it from memory overlaps the work. Each element of c is one chain of multiply-adds in the order of k: a row
// does not know which rows are beside it.
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
PYMDM_SIMD void step(vf (&acc)[R][C], const float* a, int64_t lda, const float* b) {
  vf column[C];
#pragma GCC unroll 8
  for (int j = 0; j < C; ++j) column[j] = load(b + j * kFloats, Whole{});
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < C; ++j) acc[r][j] += a[r * lda] * column[j];
}
template <int R, int C>
PYMDM_SIMD void step(vf (&acc)[R][C], const uint16_t* a, int64_t lda, const uint16_t* b) {
  vu column[C];
#pragma GCC unroll 8
  for (int j = 0; j < C; ++j) memcpy(&column[j], b + j * 2 * kFloats, sizeof(vu));
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#if defined(__AVX512BF16__)
    int32_t pair;
    memcpy(&pair, a + r * lda, 4);
    const __m512bh both = (__m512bh)(vi{} + pair);
#pragma GCC unroll 8
    for (int j = 0; j < C; ++j) acc[r][j] = (vf)_mm512_dpbf16_ps((__m512)acc[r][j], both, (__m512bh)column[j]);
#else
    const float low = widen(a[r * lda]), high = widen(a[r * lda + 1]);
    for (int j = 0; j < C; ++j) {
      acc[r][j] += low * widen_low(column[j]);
      acc[r][j] += high * widen_high(column[j]);
    }
#endif
  }
}

// What is read next and asked for meanwhile, to the second-level cache. Null: nothing.
struct Ahead {
  const char* a = nullptr;  // the rows of a behind these
  const char* b = nullptr;  // rows of the b of the columns to come, `stride` bytes apart
  int64_t rows = 0, stride = 0;
  int64_t steps = 0;  // in which `rows` rows of b are asked for, and as much of the rows of a as the steps take
};

template <int R, int C, class T>
void product_block(int64_t n, int64_t k, const T* a, int64_t lda, const T* b, float* c, int64_t ldc, bool accumulate,
                   Ahead ahead) {
  constexpr int64_t kPairs = sizeof(T) == 4 ? 1 : 2, kLine = 64;
  vf acc[R][C];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < C; ++j) acc[r][j] = vf{};
  for (int64_t i = 0; i < k;) {
    for (int64_t r = 0; ahead.b && r < ahead.rows; ++r, ahead.b += ahead.stride)
#pragma GCC unroll 8
      for (int j = 0; j < C; ++j) __builtin_prefetch(ahead.b + j * kBytes, 0, 2);
    const int64_t end = i + ahead.steps * kPairs < k ? i + ahead.steps * kPairs : k;
    for (const char* at = ahead.a; at && at < ahead.a + (end - i) * static_cast<int64_t>(sizeof(T)); at += kLine)
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) __builtin_prefetch(at + (r * lda + i) * static_cast<int64_t>(sizeof(T)), 0, 2);
    for (; i < end; i += kPairs) step<R, C>(acc, a + i, lda, b + i * n);
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < C; ++j) {
      float* to = c + r * ldc + j * kFloats;
      store(to, accumulate ? load(to, Whole{}) + acc[r][j] : acc[r][j], Whole{});
    }
}

constexpr int kSums = 24;  // vectors of sums that registers hold beside a's and b's, at most

template <int C, class T>
void product_rows_of(int64_t rows, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, float* c, int64_t ldc,
                     bool accumulate, const Ahead& ahead) {
#define PYMDM_ROWS(R)                                                                                     \
  case R:                                                                                                 \
    if constexpr (R * C <= kSums) return product_block<R, C>(n, k, a, lda, b, c, ldc, accumulate, ahead); \
    return;
  switch (rows) {
    PYMDM_ROWS(1)
    PYMDM_ROWS(2)
    PYMDM_ROWS(3)
    PYMDM_ROWS(4)
    PYMDM_ROWS(5)
    PYMDM_ROWS(6)
    PYMDM_ROWS(7)
    PYMDM_ROWS(8)
  }
#undef PYMDM_ROWS
}

// Columns in groups of C vectors, at most kSums / C rows in a pass; all rows pass over a group before the next, in
// passes of equal size but for one row.
template <int C, class T>
void product_groups(int64_t passes, int64_t m, int64_t n, int64_t first, int64_t k, const T* a, int64_t lda, const T* b,
                    float* c, int64_t ldc, bool accumulate, const void* next) {
  constexpr int64_t kPairs = sizeof(T) == 4 ? 1 : 2, kGroup = C * kFloats;
  const int64_t stride = n * kPairs * static_cast<int64_t>(sizeof(T)), size = static_cast<int64_t>(sizeof(T));
  // Few passes ask for much at a time: more often, not to wait in line. Many: seldom, the loop between is what
  // computes.
  const int64_t steps = passes == 1 ? 4 : passes < 4 ? 16 : 64;
  const int64_t rows = (steps + passes - 1) / passes, chunks = (k / kPairs + steps - 1) / steps;
  for (int64_t j = first; j + kGroup <= n; j += kGroup) {
    const char* coming =
        j + 2 * kGroup <= n ? reinterpret_cast<const char*>(b + (j + kGroup) * kPairs) : static_cast<const char*>(next);
    for (int64_t p = 0, i = 0; p < passes; ++p) {
      const int64_t here = (m - i) / (passes - p), asked = p * rows * chunks;
      const bool some = coming && asked * kPairs < k, more = j == 0 && p + 1 < passes;
      product_rows_of<C>(here, n, k, a + i * lda, lda, b + j * kPairs, c + i * ldc + j, ldc, accumulate,
                         {more ? reinterpret_cast<const char*>(a) + (i + here) * lda * size : nullptr,
                          some ? coming + asked * stride : nullptr, rows, stride, some || more ? steps : k});
      i += here;
    }
  }
}

template <class T>
void product_rows(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, float* c, int64_t ldc,
                  bool accumulate, const void* next) {
  // The fewest rows pass over b as it lies in memory, which the processor reads ahead of them by itself.
  if (kBytes == 64 && n == 8 * kFloats && m <= 4)
    return product_groups<8>((m + 2) / 3, m, n, 0, k, a, lda, b, c, ldc, accumulate, nullptr);
  if (kBytes == 64 && n == 4 * kFloats && m <= 6)
    return product_groups<4>(1, m, n, 0, k, a, lda, b, c, ldc, accumulate, nullptr);
  constexpr int64_t kRows = kBytes == 64 ? 8 : 4;
  const int64_t passes = (m + kRows - 1) / kRows, two = n / (2 * kFloats) * (2 * kFloats);
  product_groups<2>(passes, m, n, 0, k, a, lda, b, c, ldc, accumulate, next);
  product_groups<1>(passes, m, n, two, k, a, lda, b, c, ldc, accumulate, nullptr);
}

}  // namespace
}  // namespace pymdm::ops::simd
