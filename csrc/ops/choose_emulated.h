// Reproduces the categorical draws of published code so that their defect can be measured (Zheng et al., ICLR 2025,
// section 5).
#pragma once

#include "ops/choose.h"

namespace pymdm::ops {

enum class Noise : int32_t {
  kExact = 0,      // 64 bits, see random/gumbel.h; cap 45.05
  kFloat32 = 1,    // -log(-log u) in float32, u = k / 2^24; cap 16.64
  kFloat64 = 2,    // -log(-log u) in float64, u = k / 2^53; cap 36.74
  kTruncated = 3,  // exact noise conditioned on being below the float32 cap
};

// As choose, with the noise of `kind`: the arg-max over all elements, of which those whose high word already rules them
// out are not evaluated; temperature above 0, no top-k, no top-p.
void choose_emulated(const ChooseArgs& args, Noise kind);

// The noise that a 64-bit draw stands for under `kind`; -inf where a coarse u is 0.
double emulated_gumbel(uint64_t r, Noise kind);

}  // namespace pymdm::ops
