// Lists every kernel functor that a device launches; device/cuda and device/cuda_absent instantiate the launches of
// this list and of no other.
#pragma once

#include "ops/device_norm.h"
#include "ops/device_rows.h"
#include "sample/device_bits.h"
#include "sample/first_hitting_step.h"

#define PYMDM_KERNELS_OF_ELEMENTS(GRID, T) \
  GRID(ops::Embed<T>)                      \
  GRID(ops::Gather<T>)                     \
  GRID(ops::Rotate<T>)                     \
  GRID(ops::Gelu<T>)                       \
  GRID(ops::Swiglu<T>)

// GRID: one thread a row and column (launch_grid); WARPS: one warp a row (launch_warps).
#define PYMDM_DEVICE_KERNELS(GRID, WARPS)                                \
  PYMDM_KERNELS_OF_ELEMENTS(GRID, float)                                 \
  PYMDM_KERNELS_OF_ELEMENTS(GRID, uint16_t)                              \
  WARPS(ops::AddNorm<float, float>)                                      \
  WARPS(ops::AddNorm<uint16_t, uint16_t>)                                \
  WARPS(ops::AddNorm<uint16_t, float>) /* before the head, in float32 */ \
  WARPS(sample::PlanStep)                                                \
  GRID(sample::WriteStep)                                                \
  GRID(sample::DeviceBits)

#define PYMDM_INSTANTIATE_GRID(...) \
  template void launch_grid_cuda<__VA_ARGS__>(Where, int64_t, int64_t, const __VA_ARGS__&);
#define PYMDM_INSTANTIATE_WARPS(...) template void launch_warps_cuda<__VA_ARGS__>(Where, int64_t, const __VA_ARGS__&);
