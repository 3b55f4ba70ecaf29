#include "ops/gather.h"

#include <cstring>

#include "core/parallel.h"
#include "ops/convert.h"

namespace pymdm::ops {

void embed(const Parameter& table, Span<const int64_t> ids, const Matrix& out) {
  const int64_t row_bytes = table.columns * static_cast<int64_t>(element_size(table.dtype));
  parallel_for(ids.size, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const char* row = static_cast<const char*>(table.data) + ids[i] * row_bytes;
      float* to = reinterpret_cast<float*>(out.row(i));
      if (table.dtype == DType::kFloat32)
        std::memcpy(to, row, row_bytes);
      else
        for (int64_t j = 0; j < table.columns; ++j) to[j] = static_cast<float>(load_element(row, table.dtype, j));
    }
  });
}

void gather(const Matrix& x, Span<const int64_t> ids, int64_t width, const Matrix& out) {
  const int64_t bytes = width * static_cast<int64_t>(element_size(x.dtype));
  parallel_for(ids.size, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::memcpy(out.row(i), x.row(ids[i]), bytes);
  });
}

}  // namespace pymdm::ops
