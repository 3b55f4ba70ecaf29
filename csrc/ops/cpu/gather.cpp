#include "ops/gather.h"

#include <cstring>

#include "core/parallel.h"
#include "ops/convert.h"
#include "ops/cpu/kernels.h"

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

void add_rows(const float* table, const int32_t* ids, int64_t m, int64_t width, const Matrix& x) {
  parallel_for(m, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = table + ids[i] * width;
      float* to = reinterpret_cast<float*>(x.row(i));
      for (int64_t j = 0; j < width; ++j) to[j] += row[j];
    }
  });
}

void scale_rows(const std::vector<float>& factors, int64_t width, const Matrix& x) {
  parallel_for(static_cast<int64_t>(factors.size()), 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = reinterpret_cast<float*>(x.row(i));
      for (int64_t j = 0; j < width; ++j) row[j] *= factors[i];
    }
  });
}

void convert(const Matrix& x, int64_t m, int64_t width, const Matrix& out) {
  const Kernels& k = kernels();
  parallel_for(m, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      k.scale(reinterpret_cast<const float*>(x.row(i)), 1.0f, width, out.row(i), out.dtype);
  });
}

}  // namespace pymdm::ops
