// Instantiates the launches of all kernels of device/kernels.h on CUDA.
#include "core/cuda/launch.h"
#include "device/kernels.h"

namespace pymdm {

PYMDM_DEVICE_KERNELS(PYMDM_INSTANTIATE_GRID, PYMDM_INSTANTIATE_WARPS)

}  // namespace pymdm
