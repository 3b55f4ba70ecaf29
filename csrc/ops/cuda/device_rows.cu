// Launches of the device network's bodies, ops/device_rows.h.
#include "ops/cuda/launch.h"
#include "ops/device_rows.h"

namespace pymdm::ops {

PYMDM_GRID_BODIES(PYMDM_DEFINE_GRID)
PYMDM_WARP_BODIES(PYMDM_DEFINE_WARPS)

}  // namespace pymdm::ops
