// A thread of a device's row kernels loads, computes and stores kPack columns at a time. T is float or uint16_t (the
// bits of a bfloat16); all arithmetic is float32. Where the address allows it a pack is two wide loads, or one.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/hostdev.h"
#include "ops/convert.h"

namespace pymdm::ops {

constexpr int kPack = 8;

PYMDM_HD int64_t packs(int64_t width) { return (width + kPack - 1) / kPack; }

// Round to nearest, ties to even; NaN stays NaN.
PYMDM_HD uint16_t float_to_bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

PYMDM_HD float element(float x) { return x; }
PYMDM_HD float element(uint16_t bits) { return bfloat16_to_float(bits); }
PYMDM_HD void set_element(float& to, float x) { to = x; }
PYMDM_HD void set_element(uint16_t& to, float x) { to = float_to_bfloat16(x); }

// v / (1 + e^x). On a device by its fast instructions, relative error below 1e-6: the full ones branch for each
// element.
PYMDM_HD float over_one_plus_exp(float v, float x) {
#if defined(__CUDA_ARCH__)
  return __fdividef(v, 1.0f + __expf(x));
#else
  return v / (1.0f + expf(x));
#endif
}

struct Eight {
  float x[kPack];
};

template <class T>
struct alignas(16) RawEight {
  T x[kPack];
};

template <class T>
PYMDM_HD bool whole(const T* row, int64_t i, int64_t n) {
  return i + kPack <= n && reinterpret_cast<uintptr_t>(row + i) % 16 == 0;
}

// Columns i .. i + 7 of a row of n; zeros beyond it.
template <class T>
PYMDM_HD Eight load_eight(const T* row, int64_t i, int64_t n) {
  Eight out;
  if (whole(row, i, n)) {
    const RawEight<T> raw = *reinterpret_cast<const RawEight<T>*>(row + i);
    for (int k = 0; k < kPack; ++k) out.x[k] = element(raw.x[k]);
  } else {
    for (int k = 0; k < kPack; ++k) out.x[k] = i + k < n ? element(row[i + k]) : 0.0f;
  }
  return out;
}

template <class T>
PYMDM_HD RawEight<T> raw_of(const Eight& y) {
  RawEight<T> raw;
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == 2) {  // two roundings an instruction
    uint32_t pair[kPack / 2];
    for (int k = 0; k < kPack / 2; ++k)
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair[k]) : "f"(y.x[2 * k + 1]), "f"(y.x[2 * k]));
    memcpy(&raw, pair, sizeof raw);
    return raw;
  }
#endif
  for (int k = 0; k < kPack; ++k) set_element(raw.x[k], y.x[k]);
  return raw;
}

template <class T>
PYMDM_HD void store_eight(T* row, int64_t i, int64_t n, const Eight& y) {
  if (whole(row, i, n)) {
    *reinterpret_cast<RawEight<T>*>(row + i) = raw_of<T>(y);
  } else {
    for (int k = 0; k < kPack && i + k < n; ++k) set_element(row[i + k], y.x[k]);
  }
}

}  // namespace pymdm::ops
