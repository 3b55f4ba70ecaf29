// Launches of the bodies of sample/first_hitting_step.h.
#include "ops/cuda/launch.h"
#include "sample/device_bits.h"
#include "sample/first_hitting_step.h"

namespace pymdm::ops {

template void launch_warps_cuda<sample::PlanStep>(Where, int64_t, const sample::PlanStep&);
template void launch_grid_cuda<sample::WriteStep>(Where, int64_t, int64_t, const sample::WriteStep&);
template void launch_grid_cuda<sample::DeviceBits>(Where, int64_t, int64_t, const sample::DeviceBits&);

}  // namespace pymdm::ops
