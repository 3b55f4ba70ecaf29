// norm: LayerNorm or RMSNorm of float32 rows, with adaLN's shift and scale where given.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/matrix.h"

namespace pymdm::ops {

struct Norm {
  bool centred = true;  // LayerNorm; false is RMSNorm
  float eps = 1e-5f;
  std::vector<float> weight;  // [D]
  std::vector<float> bias;    // [D] or empty
};

// Row i uses shift + sequence[i] * stride, scale likewise. Null scale means none.
struct Modulation {
  const float* shift = nullptr;
  const float* scale = nullptr;
  int64_t stride = 0;
  const int32_t* sequence = nullptr;
};

// out [m, D] = norm(x [m, D] float32) * weight + bias, then * (1 + scale) + shift
void norm(const Norm& norm, const Modulation& modulation, const Matrix& x, int64_t m, const Matrix& out);

}  // namespace pymdm::ops
