// Launches kernel functors on a CUDA device; only .cu files may include this.
#pragma once

#include "core/cuda/warp.h"

namespace pymdm {

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

template <class Body>
void launch_grid_cuda(Where where, int64_t rows, int64_t columns, const Body& body) {
  use_device(where.device);
  grid_kernel<<<grid_of(rows, columns), dim3(kWarpLanes, kWarpsPerBlock), 0, static_cast<cudaStream_t>(where.stream)>>>(
      body, rows, columns);
  check_launch("cuda");
}

template <class Body>
void launch_warps_cuda(Where where, int64_t rows, const Body& body) {
  use_device(where.device);
  warps_kernel<<<blocks_of(rows, 1), dim3(kWarpLanes, kWarpsPerBlock), 0, static_cast<cudaStream_t>(where.stream)>>>(
      body, rows);
  check_launch("cuda");
}

}  // namespace pymdm
