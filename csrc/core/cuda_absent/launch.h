// Launches that only throw: they take the place of core/cuda/launch.h where the build found no CUDA compiler.
#pragma once

#include "core/error.h"
#include "core/launch.h"

namespace pymdm {

template <class Body>
void launch_grid_cuda(Where, int64_t, int64_t, const Body&) {
  fail("cuda", "this build has no CUDA kernels; install nvcc and rebuild with pip install --no-build-isolation .");
}

template <class Body>
void launch_warps_cuda(Where, int64_t, const Body&) {
  fail("cuda", "this build has no CUDA kernels; install nvcc and rebuild with pip install --no-build-isolation .");
}

}  // namespace pymdm
