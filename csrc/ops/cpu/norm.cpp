#include "ops/norm.h"

#include "core/parallel.h"
#include "ops/cpu/kernels.h"

namespace pymdm::ops {

NormRow norm_row(const Norm& norm) {
  return {static_cast<int64_t>(norm.weight.size()), norm.centred, norm.eps, norm.weight.data(),
          norm.bias.empty() ? nullptr : norm.bias.data()};
}

void norm(const Norm& norm, const Modulation& mod, const Matrix& x, int64_t m, const Matrix& out) {
  const Kernels& k = kernels();
  const NormRow row = norm_row(norm);
  parallel_for(m, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = mod.scale ? mod.sequence[i] * mod.stride : 0;
      k.norm(row, reinterpret_cast<const float*>(x.row(i)), mod.scale ? mod.shift + at : nullptr,
             mod.scale ? mod.scale + at : nullptr, out.row(i), out.dtype);
    }
  });
}

}  // namespace pymdm::ops
