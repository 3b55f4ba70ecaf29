// Makes exponential and Gumbel variates of random bits. All arguments are 64-bit draws; all arithmetic is float64.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/hostdev.h"
#include "random/uniform.h"

namespace pymdm {

// E = -log(1 - u), standard exponential. The half of the bits that loses digits is evaluated from the other end, so
// every r gives a finite positive value: interval [2^-65, 65 log 2] = [2.7e-20, 45.06].
PYMDM_HD double exponential(uint64_t r) { return (r >> 63) == 0 ? -log1p(-uniform_lower(r)) : -log(uniform_upper(r)); }

// log(u), finite: interval [-65 log 2, -2^-65].
PYMDM_HD double log_uniform(uint64_t r) { return (r >> 63) == 0 ? log(uniform_lower(r)) : log1p(-uniform_upper(r)); }

// g = -log E, standard Gumbel. Interval [-3.81, 45.06]; float32 noise as usually written stops at 16.64, float64
// at 36.74. The winning tail is at u -> 0, where floating point is finest.
PYMDM_HD double gumbel(uint64_t r) { return -log(exponential(r)); }

}  // namespace pymdm
