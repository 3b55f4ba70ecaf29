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
  // ATen's brgemm where the processor has the units and PYMDM_CPU_DISABLE leaves them on, else kernels_product.h.
  explicit Product(DType dtype);

  void operator()(int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, float* c, int64_t ldc,
                  bool accumulate) const;
  // Gives back the tile registers; each thread calls it after its last product.
  void release() const;
  bool library() const { return library_; }

 private:
  DType dtype_;
  bool library_;
  const Kernels& kernels_;
};

// brgemm compiles a kernel for every shape it meets: row counts are rounded up to one of a few (up to 16: 1, 2, 4, 8,
// 16; then multiples of 16). The rows behind the last are computed from whatever the buffer holds and never read
// (buffers have kRowPadding rows more, matrix.h).
inline int64_t round_rows(int64_t m) {
  if (m > 16) return (m + 15) / 16 * 16;
  int64_t up = 1;
  while (up < m) up *= 2;
  return up;
}

}  // namespace pymdm::ops
