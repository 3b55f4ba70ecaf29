// The only file of ops/cpu that includes ATen: its exported brgemm (oneDNN inside) drives the tile registers.
#include "ops/cpu/product.h"

#include <ATen/native/CPUBlas.h>

#include <exception>
#include <vector>

#include "core/cpu.h"

namespace pymdm::ops {
namespace {

void brgemm(int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, float* c, int64_t ldc,
            bool accumulate) {
  at::native::cpublas::brgemm(m, n, k, lda, n, ldc, accumulate, static_cast<const at::BFloat16*>(a),
                              static_cast<const at::BFloat16*>(b), c, /*is_vnni=*/true);
}

// brgemm throws where the library or the processor cannot: ask it once.
bool brgemm_works() {
  try {
    const std::vector<char> a(16 * 32 * 2, 0), b(16 * 32 * 2, 0);
    std::vector<float> c(16 * 16, 1.0f);
    brgemm(16, 16, 32, a.data(), 32, b.data(), c.data(), 16, false);
    at::native::cpublas::brgemm_release(/*is_vnni=*/true);
    return c[0] == 0.0f;
  } catch (const std::exception&) {
    return false;
  }
}

bool tiles_usable(DType dtype) {
  if (dtype != DType::kBFloat16 || !cpu_features().amx_bf16) return false;
  static const bool works = brgemm_works();
  return works;
}

// brgemm compiles a kernel for every shape it meets: row counts are rounded up to one of a few (up to 16: 1, 2, 4, 8,
// 16; then multiples of 16). The rows behind the last are computed from whatever the buffer holds and never read
// (buffers have kRowPadding rows more, matrix.h).
int64_t round_rows(int64_t m) {
  if (m > 16) return (m + 15) / 16 * 16;
  int64_t up = 1;
  while (up < m) up *= 2;
  return up;
}

}  // namespace

Product::Product(DType dtype) : dtype_(dtype), tiles_(tiles_usable(dtype)), kernels_(kernels()) {}

void Product::operator()(int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, float* c,
                         int64_t ldc, bool accumulate, const void* next) const {
  if (tiles_)
    brgemm(round_rows(m), n, k, a, lda, b, c, ldc, accumulate);
  else
    kernels_.product(dtype_, m, n, k, a, lda, b, c, ldc, accumulate, next);
}

void Product::release() const {
  if (tiles_) at::native::cpublas::brgemm_release(/*is_vnni=*/true);
}

}  // namespace pymdm::ops
