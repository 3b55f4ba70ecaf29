// Converts the bits of bfloat16 and float16 to float, exactly. Host and device.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/hostdev.h"
#include "core/types.h"

namespace pymdm::ops {

PYMDM_HD float float_from_bits(uint32_t bits) {
  float out;
  memcpy(&out, &bits, 4);
  return out;
}

PYMDM_HD float bfloat16_to_float(uint16_t bits) { return float_from_bits(static_cast<uint32_t>(bits) << 16); }

PYMDM_HD float float16_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16, exponent = bits >> 10 & 31u,
                 fraction = bits & 0x3FFu;
  if (exponent == 31) return float_from_bits(sign | 0x7F800000u | fraction << 13);  // inf, NaN
  if (exponent != 0) return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // zero and subnormal numbers
  return sign ? -magnitude : magnitude;
}

// Element i of a row of any supported type, as float64 (exact).
PYMDM_HD double load_element(const void* row, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::kFloat32:
      return static_cast<const float*>(row)[i];
    case DType::kFloat64:
      return static_cast<const double*>(row)[i];
    case DType::kBFloat16:
      return bfloat16_to_float(static_cast<const uint16_t*>(row)[i]);
    default:
      return float16_to_float(static_cast<const uint16_t*>(row)[i]);
  }
}

namespace detail {

template <class T, class Convert>
void row_to_float(const T* row, int64_t n, double factor, float* out, const Convert& convert) {
  if (factor == 1.0)
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(convert(row[i]));
  else
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(factor * static_cast<double>(convert(row[i])));
}

}  // namespace detail

// out[i] = float(factor * row[first + i]), i < n, the product in float64.
inline void load_row(const void* row, DType dtype, int64_t first, int64_t n, double factor, float* out) {
  switch (dtype) {
    case DType::kFloat32:
      return detail::row_to_float(static_cast<const float*>(row) + first, n, factor, out, [](float x) { return x; });
    case DType::kFloat64:
      return detail::row_to_float(static_cast<const double*>(row) + first, n, factor, out, [](double x) { return x; });
    case DType::kBFloat16:
      return detail::row_to_float(static_cast<const uint16_t*>(row) + first, n, factor, out, bfloat16_to_float);
    default:
      return detail::row_to_float(static_cast<const uint16_t*>(row) + first, n, factor, out, float16_to_float);
  }
}

// Whether all n numbers are finite; without a branch for each.
inline bool all_finite(const float* x, int64_t n) {
  uint32_t worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    worst |= static_cast<uint32_t>((bits & 0x7F800000u) == 0x7F800000u);
  }
  return worst == 0;
}

}  // namespace pymdm::ops
