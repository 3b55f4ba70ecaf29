// The arithmetic of one thread of the CUDA kernel of choose, four columns (one Philox block) at a time. It is host and
// device code, so that ops/cpu/choose_tile.cpp can run it on the CPU and the CPU tests cover it.
#pragma once

#include <cstdint>

#include "ops/choose.h"
#include "ops/choose_lazy.h"
#include "ops/convert.h"
#include "random/address.h"
#include "random/philox_row.h"

namespace pymdm::ops {

constexpr int64_t kTileSlots = 528;  // blocks at a time: four on each of 132 multiprocessors
constexpr double kTileFixed = 6000;  // what a block costs besides its columns, in columns
constexpr int kTileThreads = 256;
constexpr int kTileQuads = 3;                                    // quads a thread loads before it works on them
constexpr int64_t kTileColumns = 4 * kTileThreads * kTileQuads;  // columns a block takes at a time

// Floats as unsigned integers of the same order, for atomicMax. A NaN is either the largest or the smallest of all.
PYMDM_HD uint32_t ordered(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

PYMDM_HD float from_ordered(uint32_t key) { return float_from_bits(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key); }

// The larger, NaN if either is one.
PYMDM_HD float max_or_nan(float a, float b) {
#if defined(__CUDA_ARCH__)
  float out;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(out) : "f"(a), "f"(b));
  return out;
#else
  return a != a || a > b ? a : b;
#endif
}

struct Quad {
  float x[4];  // -inf beyond the row and where banned
};

// Four elements of a row as they are in memory. Typed, so that a device loads them at once: out of an array of bytes
// its compiler takes every wide load apart and puts it together again, before it starts the next.
template <DType kType>
struct alignas(8) RawQuad {
  using Element = uint16_t;
  Element x[4];
};
template <>
struct alignas(16) RawQuad<DType::kFloat32> {
  using Element = float;
  Element x[4];
};
template <>
struct alignas(16) RawQuad<DType::kFloat64> {
  using Element = double;
  Element x[4];
};

template <DType kType>
PYMDM_HD const char* tile_row(const ChooseArgs& args, int64_t row) {
  return static_cast<const char*>(args.logits) +
         row * args.row_stride * static_cast<int64_t>(sizeof(RawQuad<kType>) / 4);
}

// Whether the row starts on a boundary of RawQuad, so that one wide load does (two in float64).
template <DType kType>
PYMDM_HD bool quads_aligned(const char* logits) {
  return reinterpret_cast<uintptr_t>(logits) % alignof(RawQuad<kType>) == 0;
}

template <DType kType, class T>
PYMDM_HD float raw_to_float(T x) {
  if constexpr (kType == DType::kBFloat16) {
    return bfloat16_to_float(x);
  } else if constexpr (kType == DType::kFloat16) {
#if defined(__CUDA_ARCH__)
    float out;
    asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(x));
    return out;
#else
    return float16_to_float(x);
#endif
  } else {
    return static_cast<float>(x);
  }
}

// Columns v .. v + 3, all within the row; `wide`: quads_aligned.
template <DType kType>
PYMDM_HD RawQuad<kType> load_raw(const char* logits, int64_t v, bool wide) {
  if (wide) return reinterpret_cast<const RawQuad<kType>*>(logits)[v >> 2];
  RawQuad<kType> raw;
  for (int i = 0; i < 4; ++i) raw.x[i] = reinterpret_cast<const typename RawQuad<kType>::Element*>(logits)[v + i];
  return raw;
}

// -inf where banned; all of v .. v + 3 within the row.
template <DType kType>
PYMDM_HD void ban(RawQuad<kType>& raw, const uint8_t* banned, int64_t v) {
  uint32_t four;
#if defined(__CUDA_ARCH__)
  if (reinterpret_cast<uintptr_t>(banned) % 4 == 0)
    four = reinterpret_cast<const uint32_t*>(banned)[v >> 2];
  else
    four = banned[v] | banned[v + 1] << 8 | banned[v + 2] << 16 | static_cast<uint32_t>(banned[v + 3]) << 24;
#else
  memcpy(&four, banned + v, 4);
#endif
  if (four == 0) return;
  using Element = typename RawQuad<kType>::Element;
  Element lowest;
  if constexpr (sizeof(Element) == 2)
    lowest = kType == DType::kBFloat16 ? 0xFF80 : 0xFC00;
  else
    lowest = -INFINITY;
  for (int i = 0; i < 4; ++i)
    if (four >> 8 * i & 255) raw.x[i] = lowest;
}

template <DType kType>
PYMDM_HD Quad quad_of(const RawQuad<kType>& raw) {
  Quad out;
  for (int i = 0; i < 4; ++i) out.x[i] = raw_to_float<kType>(raw.x[i]);
  return out;
}

// Columns v .. v + 3 of a row, wherever it ends.
template <DType kType>
PYMDM_HD Quad load_quad(const char* logits, const uint8_t* banned, int64_t vocab, int64_t v, bool wide) {
  if (v + 4 <= vocab) {
    RawQuad<kType> raw = load_raw<kType>(logits, v, wide);
    if (banned) ban<kType>(raw, banned, v);
    return quad_of<kType>(raw);
  }
  Quad out;
  for (int i = 0; i < 4; ++i) {
    const bool there = v + i < vocab && !(banned && banned[v + i]);
    out.x[i] = there ? static_cast<float>(load_element(logits, kType, v + i)) : -INFINITY;
  }
  return out;
}

PYMDM_HD float quad_most(const Quad& q) { return max_or_nan(max_or_nan(q.x[0], q.x[1]), max_or_nan(q.x[2], q.x[3])); }

// quad_most of what is in memory; two 16-bit numbers at a time on a device.
template <DType kType>
PYMDM_HD float raw_most(const RawQuad<kType>& raw) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(raw) == 8) {
    uint32_t two;
    const uint32_t low = raw.x[0] | static_cast<uint32_t>(raw.x[1]) << 16;
    const uint32_t high = raw.x[2] | static_cast<uint32_t>(raw.x[3]) << 16;
    if constexpr (kType == DType::kBFloat16)
      asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(two) : "r"(low), "r"(high));
    else
      asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(two) : "r"(low), "r"(high));
    return max_or_nan(raw_to_float<kType>(static_cast<uint16_t>(two)),
                      raw_to_float<kType>(static_cast<uint16_t>(two >> 16)));
  }
#endif
  return quad_most(quad_of<kType>(raw));
}

// Whether quad's columns hold a NaN or +inf that is not banned; asked only where quad_most is not below +inf, because
// a float64 beyond float32's range looks infinite.
PYMDM_HD bool quad_bad(const char* logits, DType dtype, const uint8_t* banned, int64_t vocab, int64_t v) {
  for (int64_t i = v; i < v + 4 && i < vocab; ++i) {
    const double x = load_element(logits, dtype, i);
    if (!(x < INFINITY) && !(banned && banned[i])) return true;
  }
  return false;
}

// The float32 sieve of choose_lazy.h. False: an element with logit x and high word w, or any smaller x and larger w,
// cannot win.
PYMDM_HD bool may_win(float x, uint32_t w, float slope, float cut) {
  return !(x - static_cast<float>(chord_bits(w)) * slope < cut);
}

PYMDM_HD uint32_t least_word(const Words4& w) {
  const uint32_t a = w.w[0] < w.w[1] ? w.w[0] : w.w[1], b = w.w[2] < w.w[3] ? w.w[2] : w.w[3];
  return a < b ? a : b;
}

// A cut that one of the four, known to exist, sets for all others: of that whose float32 bound is highest. -inf where
// it is infinite.
PYMDM_HD float first_cut(const Quad& q, const Words4& w, LazyBound bound) {
  float x = q.x[0], top = q.x[0] - static_cast<float>(chord_bits(w.w[0])) * bound.slope;
  uint32_t word = w.w[0];
  for (int i = 1; i < 4; ++i) {
    const float other = q.x[i] - static_cast<float>(chord_bits(w.w[i])) * bound.slope;
    if (other > top) top = other, x = q.x[i], word = w.w[i];
  }
  if (!(x > -INFINITY) || x == INFINITY) return -INFINITY;
  const double exact = x - 0x1p-23 * fabs(static_cast<double>(x)) - 1e-37;  // x may be a rounded float64
  raise(bound, exact + bound.temperature * gumbel_lower(word));
  return bound.cut;
}

// What a thread keeps of its quads: no branch and no memory.
constexpr uint32_t kNoQuad = 0xFFFFFFFFu;
struct TileTop {
  float first = -INFINITY, second = -INFINITY;  // upper bounds of its two best quads; first is NaN if a logit is
  uint32_t quad = kNoQuad;                      // the best
};

// A quad of largest logit `most` and least word `least`: no element of it can beat the bound, the left side of may_win.
PYMDM_HD void see(TileTop& top, float most, uint32_t least, float slope, uint32_t quad) {
  const float bound = most - static_cast<float>(chord_bits(least)) * slope;
  top.second = fmaxf(top.second, fminf(top.first, bound));
  top.quad = bound > top.first ? quad : top.quad;
  top.first = max_or_nan(top.first, bound);
}

// Whether quads other than the best may hold the winner (of float64: or a logit that float32 does not tell from
// infinity).
PYMDM_HD bool looks_again(const TileTop& top, float cut) { return !(top.second < cut) || !(top.first < INFINITY); }

struct TileBest {
  double score;
  int64_t column;  // -1 none, -2 bad row
};

// Ties go to the lower column, so the order of joining does not matter.
PYMDM_HD TileBest better(TileBest a, TileBest b) {
  if (a.column == -2 || b.column == -2) return TileBest{0, -2};
  if (b.column < 0) return a;
  return a.column < 0 || b.score > a.score || (b.score == a.score && b.column < a.column) ? b : a;
}

PYMDM_HD uint64_t tile_seed(const ChooseArgs& args) { return args.seed_at ? *args.seed_at : args.seed; }

// The deciding score of column v, in float64 from all 64 bits; greedy at temperature 0.
PYMDM_HD TileBest evaluate(const ChooseArgs& args, const char* logits, int64_t row, int64_t v) {
  const double x = load_element(logits, args.dtype, v);
  if (!(x > -INFINITY)) return TileBest{0, -1};
  if (args.temperature == 0) return TileBest{x, v};
  const uint64_t r = random_bits(tile_seed(args), args.sequence[row], args.event[row], args.purpose,
                                 (args.base ? args.base[row] : 0) + static_cast<uint64_t>(v));
  return TileBest{full_score(x, 1.0 / args.temperature, r), v};
}

PYMDM_HD PhiloxRow tile_philox(const ChooseArgs& args, int64_t row) {
  return philox_row(key_of(tile_seed(args)),
                    counter_of(args.sequence[row], args.event[row], 2 * static_cast<uint32_t>(args.purpose),
                               (args.base ? args.base[row] : 0) >> 2));
}

// How a row is cut over blocks: none shorter than one pass of a block.
struct TileGrid {
  int64_t parts, length;  // length is a multiple of a block's columns at one quad a thread
};

// The least of waves of blocks, each as long as its columns and what a block costs besides.
PYMDM_HD TileGrid tile_grid(int64_t rows, int64_t vocab) {
  const int64_t passes = (vocab + kTileColumns - 1) / kTileColumns, one = 4 * kTileThreads;
  int64_t parts = 1;
  double least = INFINITY;
  for (int64_t p = 1; p <= passes && p <= kTileSlots; ++p) {
    const int64_t waves = (rows * p + kTileSlots - 1) / kTileSlots;
    const double columns = waves * (kTileFixed + static_cast<double>(vocab) / p);
    if (columns < least) least = columns, parts = p;
  }
  const int64_t length = ((vocab + parts - 1) / parts + one - 1) / one * one;
  return TileGrid{(vocab + length - 1) / length, length};
}

}  // namespace pymdm::ops
