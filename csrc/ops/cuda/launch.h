// Launches of host+device bodies; for .cu files only.
#pragma once

#include <cuda_runtime.h>

#include "core/error.h"
#include "ops/launch.h"

namespace pymdm::ops {

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
#if defined(__CUDA_ARCH__)
    __syncwarp();  // what one lane wrote, the others read next
#endif
  }
  template <class T>
  PYMDM_HD T of(const T& value, int) const {
    return value;
  }
  template <class T>
  PYMDM_HD T sum(T value) const {
#if defined(__CUDA_ARCH__)
    for (int distance = kLanes / 2; distance > 0; distance /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, distance);
#endif
    return value;
  }
  template <class T>
  PYMDM_HD T before(T value) const {
    T total = value;
#if defined(__CUDA_ARCH__)
    for (int distance = 1; distance < kLanes; distance *= 2) {
      const T below = __shfl_up_sync(0xFFFFFFFFu, total, distance);
      if (lane() >= distance) total += below;
    }
#endif
    return total - value;
  }

 private:
  PYMDM_HD int lane() const {
#if defined(__CUDA_ARCH__)
    return static_cast<int>(threadIdx.x);
#else
    return 0;
#endif
  }
};

constexpr int kWarpsPerBlock = 8;

template <class Body>
__global__ void __launch_bounds__(kLanes* kWarpsPerBlock)
    grid_kernel(const __grid_constant__ Body body, int64_t rows, int64_t columns) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.y;
  if (row >= rows) return;
  for (int64_t column = blockIdx.y * kLanes + threadIdx.x; column < columns; column += gridDim.y * kLanes)
    body(row, column);
}

template <class Body>
__global__ void __launch_bounds__(kLanes* kWarpsPerBlock)
    warps_kernel(const __grid_constant__ Body body, int64_t rows) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.y;
  if (row < rows) body(DeviceWarp{}, row);  // a whole warp shares its row
}

// This library has a CUDA runtime of its own beside torch's; both must mean the same device.
inline void use_device(int device) {
  int current = -1;
  if (cudaGetDevice(&current) != cudaSuccess || current != device) {
    const cudaError_t status = cudaSetDevice(device);
    check(status == cudaSuccess, "cuda", "cannot use device ", device, ": ", cudaGetErrorString(status));
  }
}

inline void check_launch(const char* what) {
  const cudaError_t status = cudaGetLastError();
  check(status == cudaSuccess, what, "CUDA launch failed: ", cudaGetErrorString(status));
}

inline dim3 blocks_of(int64_t rows, int64_t parts) {
  const int64_t blocks = (rows + kWarpsPerBlock - 1) / kWarpsPerBlock;
  check(blocks <= 0x7FFFFFFF, "cuda", "expected at most 2^34 rows, got ", rows);
  return dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(parts));
}

template <class Body>
void launch_grid_cuda(Where where, int64_t rows, int64_t columns, const Body& body) {
  use_device(where.device);
  const int64_t whole = (columns + kLanes - 1) / kLanes;  // few rows: several warps share one
  const int64_t parts = rows >= 1024 ? 1 : whole < 64 ? whole : 64;
  grid_kernel<<<blocks_of(rows, parts), dim3(kLanes, kWarpsPerBlock), 0, static_cast<cudaStream_t>(where.stream)>>>(
      body, rows, columns);
  check_launch("cuda");
}

template <class Body>
void launch_warps_cuda(Where where, int64_t rows, const Body& body) {
  use_device(where.device);
  warps_kernel<<<blocks_of(rows, 1), dim3(kLanes, kWarpsPerBlock), 0, static_cast<cudaStream_t>(where.stream)>>>(body,
                                                                                                                 rows);
  check_launch("cuda");
}

}  // namespace pymdm::ops
