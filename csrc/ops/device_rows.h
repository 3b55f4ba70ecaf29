// Kernel functors of the device network, one thread a pack of columns: embedding, gather, rotary positions and the
// activations around its matrix products. The CPU tests run them as loops (core/launch.h).
#pragma once

#include <cstdint>

#include "core/hostdev.h"
#include "ops/device_pack.h"

namespace pymdm::ops {

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

// heads [m, heads, head_dim] += bias in place; the first `rotated` of them, queries and keys, are turned by their row's
// position (the rest are values). The heads stay where the projection put them: attention reads them by strides.
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

}  // namespace pymdm::ops
