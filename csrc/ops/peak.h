// peak: what the processor's multipliers can do at most, for benchmarks to compare with.
#pragma once

#include <cstdint>

#include "core/types.h"

namespace pymdm::ops {

// Keeps all threads at multiply-adds for about `operations` floating-point operations; returns how many it did. They
// are on registers alone: fused multiply-adds in float32, dot products of pairs in bfloat16 where the processor has
// them. AMX has no such loop here; there bfloat16 is a product of tiles that stay in the second-level cache.
int64_t peak(DType dtype, int64_t operations);

}  // namespace pymdm::ops
