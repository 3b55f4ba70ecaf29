// linear: y = x W^T + b on weights packed once, in tiles, with what follows fused behind each tile.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "ops/matrix.h"

namespace pymdm::ops {

// W [out, in] cut into panels of `panel` rows of W (columns of the product), each panel into blocks of `block` inputs;
// a block is packed as product.h wants its b. Columns beyond `out` and rows beyond `in` are zeros.
struct Packed {
  DType dtype = DType::kFloat32;
  int64_t in = 0, out = 0;
  int64_t panel = 0, panels = 0;
  int64_t block = 0, blocks = 0;
  Buffer data;                   // [panels][padded_in][panel]
  std::vector<float> bias;       // [panels * panel], zeros where the layer has none
  const Packed* then = nullptr;  // what is probably multiplied next: its first tiles are read during the last of this

  int64_t padded_in() const { return in + (dtype == DType::kBFloat16 && in % 2); }
  int64_t block_size(int64_t i) const {
    const int64_t left = padded_in() - i * block;
    return left < block ? left : block;
  }
  const char* tile(int64_t p, int64_t i) const {
    return data.data() + (p * padded_in() + i * block) * panel * static_cast<int64_t>(element_size(dtype));
  }
  int64_t bytes() const { return data.bytes() + static_cast<int64_t>(bias.size()) * 4; }
};

// How to pack. Column n of the product is row source(n) of W; negative means zeros. `row_scale` multiplies W's rows and
// the bias (a constant gate), null is 1.
struct PackPlan {
  int64_t out = 0;                         // columns, a multiple of nothing in particular
  int64_t panel = 0;                       // 0: chosen here
  std::function<int64_t(int64_t)> source;  // null: the identity
  const float* row_scale = nullptr;
};
// Columns of a panel: as many bytes in both types, which leaves its neighbour room in the second-level cache.
constexpr int64_t panel_columns(DType dtype) { return dtype == DType::kFloat32 ? 64 : 128; }

// `name` is for the error that says which parameter has a number that is not finite.
Packed pack(const char* name, const Parameter& weight, const Parameter* bias, DType dtype, const PackPlan& plan);

// out [m, packed.out] = x W^T + b. x has kRowPadding readable rows more than m (product.h), and a zero in the column
// after the last where `in` is odd.
void linear(const Packed& w, const Matrix& x, int64_t m, const Matrix& out);

// One gate vector for each sequence: row i uses gate + sequence[i] * stride. Null gate means 1.
struct Gates {
  const float* gate = nullptr;
  int64_t stride = 0;
  const int32_t* sequence = nullptr;
};

// residual [m, out] float32 += gate * (x W^T + b)
void linear_residual(const Packed& w, const Matrix& x, int64_t m, const Gates& gates, const Matrix& residual);

}  // namespace pymdm::ops
