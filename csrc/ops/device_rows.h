// Bodies of the device network's kernels: what surrounds its matrix products and its attention. Host and device; the
// CPU tests walk them. T is float or uint16_t (the bits of a bfloat16); all arithmetic is float32. A thread takes kPack
// columns at a time, by two or one wide loads where the address allows it.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/hostdev.h"
#include "ops/convert.h"
#include "ops/launch.h"

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

// out [m, width] float32 = table rows ids; columns: packs(width)
template <class T>
struct Embed {
  const T* table;
  const int64_t* ids;  // [m]
  float* out;
  int64_t width;

  PYMDM_HD void operator()(int64_t row, int64_t pack) const {
    const int64_t i = pack * kPack;
    store_eight(out + row * width, i, width, load_eight(table + ids[row] * width, i, width));
  }
};

// out [m, width] = x rows ids; columns: packs(width)
template <class T>
struct Gather {
  const T* x;
  const int64_t* ids;  // [m]
  T* out;
  int64_t width;

  PYMDM_HD void operator()(int64_t row, int64_t pack) const {
    const int64_t i = pack * kPack;
    if (whole(x + ids[row] * width, i, width) && whole(out + row * width, i, width)) {
      *reinterpret_cast<RawEight<T>*>(out + row * width + i) =
          *reinterpret_cast<const RawEight<T>*>(x + ids[row] * width + i);
    } else {
      for (int k = 0; k < kPack && i + k < width; ++k) out[row * width + i + k] = x[ids[row] * width + i + k];
    }
  }
};

// In place: heads [m, heads, head_dim] += bias; the first `rotated` of them turned by their row's position (queries and
// keys; the rest are values). The heads stay where the projection put them: attention reads them by strides.
// columns: touched() * packs(head_dim / 2)
template <class T>
struct Rotate {
  T* heads;
  const float* bias;       // [heads * head_dim] or null
  const float *cos, *sin;  // [length, head_dim / 2]
  const int32_t* position;
  const int64_t* rows;  // row i stands at position[rows[i]]; null: position[i]
  int64_t count, rotated, head_dim;

  int64_t touched() const { return bias ? count : rotated; }

  PYMDM_HD void operator()(int64_t row, int64_t column) const {
    const int64_t half = head_dim / 2;
    const uint32_t per_head = static_cast<uint32_t>(packs(half));
    const int64_t head = static_cast<uint32_t>(column) / per_head;
    const int64_t i = static_cast<uint32_t>(column) % per_head * kPack;
    T* at = heads + (row * count + head) * head_dim;
    Eight a = load_eight(at, i, half), b = load_eight(at + half, i, half);
    if (bias) {
      const Eight bias_a = load_eight(bias + head * head_dim, i, half);
      const Eight bias_b = load_eight(bias + head * head_dim + half, i, half);
      for (int k = 0; k < kPack; ++k) a.x[k] += bias_a.x[k], b.x[k] += bias_b.x[k];
    }
    if (head < rotated) {
      const int64_t angle = static_cast<int64_t>(position[rows ? rows[row] : row]) * half;
      const Eight c = load_eight(cos + angle, i, half), s = load_eight(sin + angle, i, half);
      for (int k = 0; k < kPack; ++k) {
        const float first = a.x[k] * c.x[k] - b.x[k] * s.x[k];
        b.x[k] = b.x[k] * c.x[k] + a.x[k] * s.x[k];
        a.x[k] = first;
      }
    }
    store_eight(at, i, half, a);
    store_eight(at + half, i, half, b);
  }
};

// x [m, width] = gelu(x + bias) in place, x/2 (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3)
template <class T>
struct Gelu {
  T* x;
  const float* bias;  // [width] or null
  int64_t width;

  PYMDM_HD void operator()(int64_t row, int64_t pack) const {
    const int64_t i = pack * kPack;
    Eight y = load_eight(x + row * width, i, width);
    if (bias) {
      const Eight b = load_eight(bias, i, width);
      for (int k = 0; k < kPack; ++k) y.x[k] += b.x[k];
    }
    for (int k = 0; k < kPack; ++k) {
      const float v = y.x[k];
      y.x[k] = over_one_plus_exp(v, -1.59576912f * (v + 0.044715f * v * v * v));
    }
    store_eight(x + row * width, i, width, y);
  }
};

// out [m, width] = silu(gate) * up for in [m, 2 width], gate's columns first
template <class T>
struct Swiglu {
  const T* in;
  const float* bias;  // [2 width] or null
  T* out;
  int64_t width;

  PYMDM_HD void operator()(int64_t row, int64_t pack) const {
    const int64_t i = pack * kPack;
    Eight g = load_eight(in + row * 2 * width, i, width), u = load_eight(in + row * 2 * width + width, i, width);
    if (bias) {
      const Eight bg = load_eight(bias, i, width), bu = load_eight(bias + width, i, width);
      for (int k = 0; k < kPack; ++k) g.x[k] += bg.x[k], u.x[k] += bu.x[k];
    }
    for (int k = 0; k < kPack; ++k) g.x[k] = over_one_plus_exp(g.x[k], -g.x[k]) * u.x[k];
    store_eight(out + row * width, i, width, g);
  }
};

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

using AddNormFloat = AddNorm<float, float>;
using AddNormBfloat16 = AddNorm<uint16_t, uint16_t>;
using AddNormLast = AddNorm<uint16_t, float>;  // in front of the head, which is float32

// The bodies that ops/cuda and ops/cuda_absent define launches of.
#define PYMDM_GRID_BODIES(X) \
  X(Embed<float>)            \
  X(Embed<uint16_t>)         \
  X(Gather<float>)           \
  X(Gather<uint16_t>)        \
  X(Rotate<float>)           \
  X(Rotate<uint16_t>)        \
  X(Gelu<float>)             \
  X(Gelu<uint16_t>)          \
  X(Swiglu<float>)           \
  X(Swiglu<uint16_t>)
#define PYMDM_WARP_BODIES(X) \
  X(AddNormFloat)            \
  X(AddNormBfloat16)         \
  X(AddNormLast)

#define PYMDM_DEFINE_GRID(Body) template void launch_grid_cuda<Body>(Where, int64_t, int64_t, const Body&);
#define PYMDM_DEFINE_WARPS(Body) template void launch_warps_cuda<Body>(Where, int64_t, const Body&);

}  // namespace pymdm::ops
