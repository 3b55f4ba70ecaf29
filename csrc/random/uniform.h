// Turns random bits into uniform reals.
#pragma once

#include <cstdint>

#include "core/hostdev.h"

namespace pymdm {

// u = (r + 1/2) / 2^64, rounded to float64. Smallest value 2^-65. For r >= 2^64 - 2^10 the sum rounds to 2^64, so u may
// be 1: callers that must not see 1 use upper_tail. Interval (0, 1].
PYMDM_HD double uniform_lower(uint64_t r) { return (static_cast<double>(r) + 0.5) * 0x1p-64; }

// 1 - u = (2^64 - 1 - r + 1/2) / 2^64, exact where 1 - u is small. Interval (0, 1].
PYMDM_HD double uniform_upper(uint64_t r) { return (static_cast<double>(~r) + 0.5) * 0x1p-64; }

}  // namespace pymdm
