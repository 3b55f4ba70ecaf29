#include "ops/cpu/kernels.h"

#include "core/cpu.h"

namespace pymdm::ops {

extern const Kernels kKernelsPlain;
#if defined(__x86_64__)
extern const Kernels kKernelsAvx2, kKernelsAvx512, kKernelsAvx512Bf16;
#endif

const Kernels& kernels() {
#if defined(__x86_64__)
  const CpuFeatures cpu = cpu_features();
  if (cpu.avx512_bf16) return kKernelsAvx512Bf16;
  if (cpu.avx512) return kKernelsAvx512;
  if (cpu.avx2) return kKernelsAvx2;
#endif
  return kKernelsPlain;
}

}  // namespace pymdm::ops
