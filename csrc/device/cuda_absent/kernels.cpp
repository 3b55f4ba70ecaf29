// Instantiates the launches of all kernels of device/kernels.h as errors, where the build found no CUDA compiler.
#include "device/kernels.h"

#include "core/cuda_absent/launch.h"

namespace pymdm {

PYMDM_DEVICE_KERNELS(PYMDM_INSTANTIATE_GRID, PYMDM_INSTANTIATE_WARPS)

}  // namespace pymdm
