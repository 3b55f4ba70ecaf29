// The lazy bound of choose: which elements cannot be the arg-max, from 32 of their 64 random bits. Host and device.
//
// A row's score at column v is fl(fl(x / T) + g), g = gumbel(r), r = high word w : low word. Here scores are compared
// in units of T: S = x + T g. Let u = (r + 1/2) / 2^64 and E = -log(1 - u), so g = -log E.
//
// Upper bound. E > u >= w / 2^32, so for w >= 1: g < (32 - log2 w) log 2 (which is at most (clz(w) + 1) log 2), and for
//   w = 0: g <= 65 log 2 < 45.06. Let b be the bits of float(w) as an integer. The bits of a float are a chord of its
//   logarithm: b / 2^23 - 127 <= log2 float(w) <= b / 2^23 - 127 + 0.08608, and float(w) <= w (1 + 2^-24), so
//       g < (159 - b / 2^23) log 2 + 1e-6                                                                         (1)
//   for every w (w = 0 has b = 0 and the right side is 110).
// Lower bound. u < t = (w + 1) / 2^32, and for t <= 1/2: E <= t + t^2, so g >= -log t - t, and the chord again:
//       g > (159 - b' / 2^23 - 0.08608) log 2 - t - 1e-6,  b' the bits of float(w + 1);  always g > -3.82.         (2)
//
// Let B be a lower bound on S of some element (the best found so far). Claim: an element j with
//       S_j < keep = B - 2^-20 (|B| + 256 T) - 1e-37
// has a float64 score strictly below the winner's, so it neither wins nor ties. The float64 score times T differs from
// S by at most 2^-51 (|x| + |S|) <= 2^-51 (2 |S| + 46 T), and S + 2^-50 |S| increases with S, so the two scores stay
// apart as soon as B - keep > 2^-48 (|B| + 46 T); keep leaves 2^28 times that. (Where x / T itself overflows, scores
// tie at infinity: raise() caps keep below that region.)
//
// The rest of the margin pays for float32 in the filters. They see x' = float(x), |x' - x| <= 2^-24 |x| + 2^-149, or
// 2^-126 where subnormal numbers are flushed; y = float(b), |y - b| <= 64; slope <= T log 2 / 2^23, rounded down, which
// only keeps more. An element whose S could reach B, that is x - T (b / 2^23) log 2 >= B - T (159 log 2 + 1e-6), must
// satisfy fl(x' - y slope) >= cut, cut = float(keep - 159 T log 2). The left side loses at most
//   2^-24 |x| (conversion) + 2^-24 111 T (product) + 2^-24 (|x| + 111 T) (difference) + 6e-6 T (y)
//     <= 2^-22 |x| + 2e-5 T
// and cut's own rounding is 2^-24 (|B| + 111 T). If |x| <= 2 (|B| + 128 T) the sum is below 2^-20 (|B| + 256 T); else
// x > 2 (|B| + 128 T), for x cannot be that negative, and x' - y slope > |B| >= cut without any margin. Each of at most
// four flushed results moves by 2^-126: together less than 1e-37. Above T = 1e30, where T log 2 times 159 could
// overflow float32, nothing is filtered.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/hostdev.h"
#include "random/gumbel.h"

namespace pymdm::ops {

constexpr double kLog2 = 0.69314718055994530942;
constexpr double kGumbelMin = -3.82, kGumbelMax = 45.07;  // 65 log 2 = 45.054..., -log(65 log 2) = -3.808...
constexpr double kChord = 0.08608;                        // max over f in [0, 1] of log2(1 + f) - f, rounded up
constexpr double kLogScale = 159.0;                       // 32 + 127, see (1)

// Bits of float(w), the chord of log2 w: 2^23 (log2 w + 127) from below. Zero for w = 0.
PYMDM_HD int32_t chord_bits(uint32_t w) {
  const float f = static_cast<float>(w);
  int32_t bits;
  memcpy(&bits, &f, 4);
  return bits;
}

PYMDM_HD double gumbel_upper(uint32_t w) {  // (1)
  const double bound = (kLogScale - chord_bits(w) * 0x1p-23) * kLog2 + 1e-6;
  return bound < kGumbelMax ? bound : kGumbelMax;
}

PYMDM_HD double gumbel_lower(uint32_t w) {  // (2)
  if (w >= 0x7FFFFFFFu) return kGumbelMin;
  return (kLogScale - kChord - chord_bits(w + 1) * 0x1p-23) * kLog2 - (w + 1) * 0x1p-32 - 1e-6;
}

// What a search knows about the winner, and the thresholds that follow from it.
struct LazyBound {
  double temperature, inverse;  // T > 0, fl(1 / T)
  double best, keep;            // B and keep above
  float slope, cut;             // of the float32 filter: keep an element unless x - y slope < cut
};

PYMDM_HD LazyBound lazy_bound(double temperature) {
  LazyBound out;
  out.temperature = temperature;
  out.inverse = 1.0 / temperature;
  out.best = out.keep = -INFINITY;
  out.cut = -INFINITY;
  const double exact = temperature * kLog2 * 0x1p-23;
  out.slope = static_cast<float>(exact);
  if (out.slope > exact) out.slope = nextafterf(out.slope, 0.0f);
  if (temperature > 1e30) out.slope = 0;
  return out;
}

// Some element has S >= lower.
PYMDM_HD void raise(LazyBound& bound, double lower) {
  if (!(lower > bound.best)) return;
  bound.best = lower;
  if (bound.temperature > 1e30) return;
  const double size = fabs(lower);
  bound.keep = lower - 0x1p-20 * (size + 256 * bound.temperature) - 1e-37;
  if (size * bound.inverse > 1e300)  // scores may be infinite, and equal
    bound.keep = lower < 0 ? -INFINITY : fmin(bound.keep, 0.5e300 * bound.temperature);
  const double cut = bound.keep - kLogScale * kLog2 * bound.temperature;
  bound.cut = cut < -3.4e38 ? -INFINITY : static_cast<float>(cut < 3.4e38 ? cut : 3.4e38);
}

// Elements of at most `most` whose word is above 2^z have S < keep: most + T
// (32 - log2 w) log 2 >= keep needs w <= 2^z. Static, with what follows: each
// vector file has its own copy, see ops/cpu/choose_search.h.
static PYMDM_HD double word_exponent(const LazyBound& bound, float most) {
  // The rounding of `most` (2^-24 of it) and of these few operations is inside
  // the margin of keep, as above.
  const double top = most == -INFINITY ? -FLT_MAX : most;  // a float64 below float32's range looks like -inf
  return 32 - (bound.keep - top) * bound.inverse * (1 / kLog2);
}

// No word at all reaches keep: z is below the bound of w = 0, 65 log 2.
static PYMDM_HD bool hopeless(double z) { return z < -33.1; }

// 2^z <= 2^floor(z) (1 + frac(z)), the chord once more.
static PYMDM_HD uint32_t word_limit(double z) {
  if (!(z < 32)) return 0xFFFFFFFFu;
  if (z < 1) return 2;
  const int whole = static_cast<int>(z);
  const double limit = static_cast<double>(uint64_t{1} << whole) * (1 + (z - whole));
  return limit < 4294967295.0 ? static_cast<uint32_t>(limit) : 0xFFFFFFFFu;
}

// The score that decides, from all 64 bits.
PYMDM_HD double full_score(double x, double inverse_temperature, uint64_t r) {
  return x * inverse_temperature + gumbel(r);
}

}  // namespace pymdm::ops
