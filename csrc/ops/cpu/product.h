// The one matrix product of the CPU kernels: tiles on packed operands, single-threaded, a row at a time independent of
// the rows beside it (so results do not depend on batch, chunk or threads).
//   c [m, n] float32 (+)= a [m, k] b [k, n], a and b both float32 or both bfloat16.
// b is packed: float32 as [k][n]; bfloat16 as pairs of k, [k/2][n][2], k even. n is a multiple of 16.
#pragma once

#include <cstdint>

#include "core/types.h"
#include "ops/cpu/kernels.h"

namespace pymdm::ops {

class Product {
 public:
  // bfloat16 on tile registers (AMX) is ATen's brgemm, unless PYMDM_CPU_DISABLE names them; all else kernels_product.h.
  explicit Product(DType dtype);

  // `next`: the b, of the same n and k, that the caller multiplies by afterwards, to be read meanwhile; or null. On
  // tile registers up to kRowPadding rows of a behind the last are read, and as many rows of c are written.
  void operator()(int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, float* c, int64_t ldc,
                  bool accumulate, const void* next = nullptr) const;
  // Gives back the tile registers; each thread calls it after its last product.
  void release() const;

 private:
  DType dtype_;
  bool tiles_;
  const Kernels& kernels_;
};

}  // namespace pymdm::ops
