// Linked in place of ops/cuda where the build found no CUDA compiler.
#include "ops/device_rows.h"

#include "ops/cuda_absent/launch.h"

namespace pymdm::ops {

PYMDM_GRID_BODIES(PYMDM_DEFINE_GRID)
PYMDM_WARP_BODIES(PYMDM_DEFINE_WARPS)

}  // namespace pymdm::ops
