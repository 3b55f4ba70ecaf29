// Takes the place of ops/cuda/choose.cu where the build found no CUDA compiler.
#include "ops/choose.h"

#include "core/error.h"

namespace pymdm::ops {

bool cuda_built() { return false; }
int cuda_devices() { return 0; }
int64_t choose_cuda_scratch(int64_t, int64_t) { return 0; }

void choose_cuda(const ChooseArgs&, void*, Where) {
  fail("choose", "this build has no CUDA kernels; install nvcc and rebuild with pip install --no-build-isolation .");
}

}  // namespace pymdm::ops
