// The only file of ops/cpu that includes ATen: its exported brgemm (oneDNN inside) computes the tiles.
#include "ops/cpu/product.h"

#include <ATen/native/CPUBlas.h>

#include <exception>
#include <vector>

#include "core/cpu.h"

namespace pymdm::ops {
namespace {

void brgemm(DType dtype, int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, float* c,
            int64_t ldc, bool accumulate) {
  if (dtype == DType::kFloat32)
    at::native::cpublas::brgemm(m, n, k, lda, n, ldc, accumulate, static_cast<const float*>(a),
                                static_cast<const float*>(b), c, /*is_vnni=*/false);
  else
    at::native::cpublas::brgemm(m, n, k, lda, n, ldc, accumulate, static_cast<const at::BFloat16*>(a),
                                static_cast<const at::BFloat16*>(b), c, /*is_vnni=*/true);
}

// brgemm throws where the library or the processor cannot: ask it once.
bool brgemm_works(DType dtype) {
  try {
    const std::vector<char> a(16 * 32 * 4, 0), b(16 * 32 * 4, 0);
    std::vector<float> c(16 * 16, 1.0f);
    brgemm(dtype, 16, 16, 32, a.data(), 32, b.data(), c.data(), 16, false);
    at::native::cpublas::brgemm_release(dtype != DType::kFloat32);
    return c[0] == 0.0f;
  } catch (const std::exception&) {
    return false;
  }
}

bool brgemm_usable(DType dtype) {
  const CpuFeatures cpu = cpu_features();
  static const bool float_works = brgemm_works(DType::kFloat32), bfloat16_works = brgemm_works(DType::kBFloat16);
  return dtype == DType::kFloat32 ? cpu.avx512 && float_works : (cpu.avx512_bf16 || cpu.amx_bf16) && bfloat16_works;
}

}  // namespace

Product::Product(DType dtype) : dtype_(dtype), library_(brgemm_usable(dtype)), kernels_(kernels()) {}

void Product::operator()(int64_t m, int64_t n, int64_t k, const void* a, int64_t lda, const void* b, float* c,
                         int64_t ldc, bool accumulate) const {
  if (library_)
    brgemm(dtype_, m, n, k, a, lda, b, c, ldc, accumulate);
  else
    kernels_.product(dtype_, m, n, k, a, lda, b, c, ldc, accumulate);
}

void Product::release() const {
  if (library_) at::native::cpublas::brgemm_release(dtype_ != DType::kFloat32);
}

}  // namespace pymdm::ops
