// The two CUDA kernels that run a functor, by threads and by warps, and the shapes of their grids. Nothing is launched
// here, so that tests/device/emulation can run this text on a processor.
#pragma once

#include <cuda_runtime.h>

#include "core/error.h"
#include "core/launch.h"

namespace pymdm {

// A warp of the device, with WalkedWarp's interface. Its functions are host+device for the compiler's sake.
struct DeviceWarp {
  template <class T>
  using Lanes = T;

  template <class F>
  PYMDM_HD auto each(const F& f) const {
    return f(lane());
  }
  template <class F>
  PYMDM_HD void run(const F& f) const {
    f(lane());
#if defined(PYMDM_DEVICE_CODE)
    __syncwarp();  // what one lane wrote, the others read next
#endif
  }
  template <class T>
  PYMDM_HD T of(const T& value, int) const {
    return value;
  }
  template <class T>
  PYMDM_HD T sum(T value) const {
#if defined(PYMDM_DEVICE_CODE)
    for (int distance = kWarpLanes / 2; distance > 0; distance /= 2)
      value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
#endif
    return value;
  }
  template <class T>
  PYMDM_HD T before(T value) const {
    T total = value;
#if defined(PYMDM_DEVICE_CODE)
    for (int distance = 1; distance < kWarpLanes; distance *= 2) {
      const T below = __shfl_up_sync(0xFFFFFFFFu, total, distance);
      if (lane() >= distance) total += below;
    }
#endif
    return total - value;
  }

 private:
  PYMDM_HD int lane() const {
#if defined(PYMDM_DEVICE_CODE)
    return static_cast<int>(threadIdx.x);
#else
    return 0;
#endif
  }
};

constexpr int kWarpsPerBlock = 8;

template <class Body>
__global__ void __launch_bounds__(kWarpLanes* kWarpsPerBlock)
    grid_kernel(const __grid_constant__ Body body, int64_t rows, int64_t columns) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.y;
  if (row >= rows) return;
  for (int64_t column = blockIdx.y * kWarpLanes + threadIdx.x; column < columns; column += gridDim.y * kWarpLanes)
    body(row, column);
}

template <class Body>
__global__ void __launch_bounds__(kWarpLanes* kWarpsPerBlock)
    warps_kernel(const __grid_constant__ Body body, int64_t rows) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.y;
  if (row < rows) body(DeviceWarp{}, row);  // a whole warp shares its row
}

constexpr int64_t kBlocksWanted = 1056;  // 8 for each of 132 multiprocessors, so that few rows fill them too

// One block for each kWarpsPerBlock rows; `parts` blocks share the columns of a row.
inline dim3 blocks_of(int64_t rows, int64_t parts) {
  const int64_t blocks = (rows + kWarpsPerBlock - 1) / kWarpsPerBlock;
  check(blocks <= 0x7FFFFFFF, "cuda", "expected at most 2^34 rows, got ", rows);
  return dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(parts));
}

// The grid of grid_kernel: a row's columns are cut over blocks where rows alone are too few, by no more than a warp's.
inline dim3 grid_of(int64_t rows, int64_t columns) {
  const int64_t row_blocks = (rows + kWarpsPerBlock - 1) / kWarpsPerBlock,
                whole = (columns + kWarpLanes - 1) / kWarpLanes;
  const int64_t parts = (kBlocksWanted + row_blocks - 1) / row_blocks;
  return blocks_of(rows, parts < whole ? parts : whole);
}

}  // namespace pymdm
