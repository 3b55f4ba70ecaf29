// The kernel functor that adds a layer's output to the residual stream and normalises it for the next layer, one warp a
// row.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/hostdev.h"
#include "core/launch.h"
#include "ops/device_pack.h"

namespace pymdm::ops {

constexpr int kHeldPacks = 4;  // of a row that a lane holds: rows of up to 1,024 columns are read once

// The residual stream takes in a layer's output, then is normed for the next layer, one warp a row:
//   x [m, width] float32 += gate * (y + bias)
//   out [m, width] = norm(x) * weight + norm_bias, then * (1 + scale) + shift
template <class T, class Out>
struct AddNorm {
  float* x;
  const T* y;  // [m, width] or null: nothing to add
  const float* bias;
  const float *weight, *norm_bias;  // norm_bias may be null
  Out* out;
  int64_t width;
  bool centred;  // LayerNorm; false is RMSNorm
  float eps;
  // adaLN: vectors of row i are at sequence * stride, sequence of token rows[i] (or i); null pointers mean none
  const float *gate, *shift, *scale;
  int64_t gate_stride, stride;
  const int32_t* sequence;  // null: all rows share one
  const int64_t* rows;

  template <class Warp>
  PYMDM_HD void operator()(const Warp& warp, int64_t row) const {
    float* const at = x + row * width;
    const int64_t owner = sequence ? sequence[rows ? rows[row] : row] : 0;
    const auto held = warp.each([&](int lane) {
      Held packs{};
      each_pack(lane, [&](int64_t i, int p) {
        const Eight v = added(at, row, owner, i);
        if (p < kHeldPacks) packs.v[p] = v;
      });
      return packs;
    });
    const auto part = warp.each([&](int lane) {
      float total = 0;
      const Held packs = warp.of(held, lane);
      each_pack(lane, [&](int64_t i, int p) {
        const Eight v = pack_of(packs, at, i, p);
        for (int k = 0; k < kPack; ++k) total += v.x[k];
      });
      return total;
    });
    const float mean = centred ? warp.sum(part) / static_cast<float>(width) : 0.0f;
    const auto squares = warp.each([&](int lane) {
      float total = 0;
      const Held packs = warp.of(held, lane);
      each_pack(lane, [&](int64_t i, int p) {
        const Eight v = pack_of(packs, at, i, p);
        for (int k = 0; k < kPack; ++k) {
          const float d = i + k < width ? v.x[k] - mean : 0.0f;
          total += d * d;
        }
      });
      return total;
    });
    const float rate = 1.0f / sqrtf(warp.sum(squares) / static_cast<float>(width) + eps);
    warp.run([&](int lane) {
      const Held packs = warp.of(held, lane);
      each_pack(lane, [&](int64_t i, int p) { write(pack_of(packs, at, i, p), row, owner, i, mean, rate); });
    });
  }

 private:
  struct Held {
    Eight v[kHeldPacks];
  };

  // f(first column, number of the pack) for the packs of a lane; unrolled as far as they are held, so that held packs
  // stay in registers.
  template <class F>
  PYMDM_HD void each_pack(int lane, const F& f) const {
#if defined(__CUDACC__)
#pragma unroll
#endif
    for (int p = 0; p < kHeldPacks; ++p) {
      const int64_t i = (p * kWarpLanes + lane) * kPack;
      if (i < width) f(i, p);
    }
    for (int64_t i = (kHeldPacks * kWarpLanes + lane) * kPack; i < width; i += kWarpLanes * kPack) f(i, kHeldPacks);
  }

  PYMDM_HD Eight pack_of(const Held& packs, const float* at, int64_t i, int p) const {
    return p < kHeldPacks ? packs.v[p] : load_eight(at, i, width);
  }

  // Columns i .. i + 7 of the row after y was added.
  PYMDM_HD Eight added(float* at, int64_t row, int64_t owner, int64_t i) const {
    Eight v = load_eight(at, i, width);
    if (!y) return v;
    Eight d = load_eight(y + row * width, i, width);
    if (bias) {
      const Eight b = load_eight(bias, i, width);
      for (int k = 0; k < kPack; ++k) d.x[k] += b.x[k];
    }
    if (gate) {
      const Eight g = load_eight(gate + owner * gate_stride, i, width);
      for (int k = 0; k < kPack; ++k) d.x[k] *= g.x[k];
    }
    for (int k = 0; k < kPack; ++k) v.x[k] += d.x[k];
    store_eight(at, i, width, v);
    return v;
  }

  PYMDM_HD void write(Eight v, int64_t row, int64_t owner, int64_t i, float mean, float rate) const {
    const Eight w = load_eight(weight, i, width);
    for (int k = 0; k < kPack; ++k) v.x[k] = (v.x[k] - mean) * rate * w.x[k];
    if (norm_bias) {
      const Eight b = load_eight(norm_bias, i, width);
      for (int k = 0; k < kPack; ++k) v.x[k] += b.x[k];
    }
    if (scale) {
      const Eight s = load_eight(scale + owner * stride, i, width), t = load_eight(shift + owner * stride, i, width);
      for (int k = 0; k < kPack; ++k) v.x[k] = v.x[k] * (1.0f + s.x[k]) + t.x[k];
    }
    store_eight(out + row * width, i, width, v);
  }
};

}  // namespace pymdm::ops
