// Makes multiply-adds on registers alone, at a rate that no product on this processor can exceed.
#pragma once

#include "ops/cpu/simd.h"

namespace pymdm::ops::simd {
namespace {

// Independent sums: more than latency times throughput of any of these processors. Every loop over them is unrolled, or
// they would live in memory.
constexpr int kChains = 12;

// acc = acc / 2 + 1/4, 2 operations a lane.
PYMDM_SIMD void multiply_add(vf (&acc)[kChains], const float*) {
  const vf half = splat(0.5f), quarter = splat(0.25f);
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) acc[i] = acc[i] * half + quarter;
}

// acc += a0 b0 + a1 b1, 4 operations a lane, where there is an instruction for it; else bfloat16 is widened.
PYMDM_SIMD void multiply_add(vf (&acc)[kChains], const uint16_t*) {
#if defined(__AVX512BF16__)
  const __m512bh a = (__m512bh)(vi{} + 0x3e003e00);  // 1/8, 1/8
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) acc[i] = (vf)_mm512_dpbf16_ps((__m512)acc[i], a, a);
#else
  multiply_add(acc, static_cast<const float*>(nullptr));
#endif
}

#if defined(__AVX512BF16__)
constexpr int64_t kPairOperations = 4;
#else
constexpr int64_t kPairOperations = 2;
#endif

template <class T>
int64_t peak_rounds(int64_t rounds, T*) {
  vf acc[kChains];
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) acc[i] = splat(static_cast<float>(i));
  for (int64_t i = 0; i < rounds; ++i) multiply_add(acc, static_cast<const T*>(nullptr));
  vf total{};
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) total += acc[i];
  volatile float keep = sum(total);
  (void)keep;
  return rounds * kChains * kFloats * (sizeof(T) == 4 ? 2 : kPairOperations);
}

}  // namespace
}  // namespace pymdm::ops::simd
