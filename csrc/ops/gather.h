// gather: rows of a table, chosen by index.
#pragma once

#include <cstdint>

#include "core/types.h"
#include "ops/matrix.h"

namespace pymdm::ops {

// out [m, D] float32 = table rows ids[0 .. m), whatever floating type the table has (exact).
void embed(const Parameter& table, Span<const int64_t> ids, const Matrix& out);

// out [m, width] = x rows ids[0 .. m), the same type
void gather(const Matrix& x, Span<const int64_t> ids, int64_t width, const Matrix& out);

}  // namespace pymdm::ops
