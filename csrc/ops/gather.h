// gather: rows of a table, chosen by index.
#pragma once

#include <cstdint>
#include <vector>

#include "core/types.h"
#include "ops/matrix.h"

namespace pymdm::ops {

// out [m, D] float32 = table rows ids[0 .. m), whatever floating type the table has (exact).
void embed(const Parameter& table, Span<const int64_t> ids, const Matrix& out);

// out [m, width] = x rows ids[0 .. m), the same type
void gather(const Matrix& x, Span<const int64_t> ids, int64_t width, const Matrix& out);

// x [m, width] float32 += table rows ids[0 .. m), the table [n, width] float32
void add_rows(const float* table, const int32_t* ids, int64_t m, int64_t width, const Matrix& x);

// x [m, width] float32 rows times their factors; rows of factor 0 become zeros
void scale_rows(const std::vector<float>& factors, int64_t width, const Matrix& x);

// out [m, width] = x [m, width] float32 in out's type
void convert(const Matrix& x, int64_t m, int64_t width, const Matrix& out);

}  // namespace pymdm::ops
