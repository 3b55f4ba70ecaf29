// Runs one kernel functor on a GPU, or on the CPU as a loop so that tests can run it. The functor is
// host+device code; a launch gives it to threads or warps of a CUDA device, or calls it in a loop, so that the CPU
// tests execute the kernels' arithmetic and indexing.
#pragma once

#include <cstdint>

#include "core/hostdev.h"

namespace pymdm {

// Where a functor runs: on CUDA device `device` in the order of `stream` (a cudaStream_t), or, device -1, on this
// thread.
struct Where {
  int device = -1;
  void* stream = nullptr;
  bool cuda() const { return device >= 0; }
};

constexpr int kWarpLanes = 32;

// CPU emulation of a warp: its lanes run one after the other. A value of each lane is an array here, and a register on
// the device (the same interface in core/cuda/launch.h). Between two calls all lanes have met.
struct WalkedWarp {
  template <class T>
  struct Lanes {
    T of[kWarpLanes];
  };
  // f(lane) of every lane
  template <class F>
  PYMDM_HD auto each(const F& f) const {
    Lanes<decltype(f(0))> out;
    for (int lane = 0; lane < kWarpLanes; ++lane) out.of[lane] = f(lane);
    return out;
  }
  template <class F>
  PYMDM_HD void run(const F& f) const {
    for (int lane = 0; lane < kWarpLanes; ++lane) f(lane);
  }
  template <class T>
  PYMDM_HD T of(const Lanes<T>& value, int lane) const {
    return value.of[lane];
  }
  // Sum over the lanes in the order of a butterfly: the same bits as on the device.
  template <class T>
  PYMDM_HD T sum(Lanes<T> value) const {
    for (int distance = kWarpLanes / 2; distance > 0; distance /= 2) {
      Lanes<T> next;
      for (int lane = 0; lane < kWarpLanes; ++lane) next.of[lane] = value.of[lane] + value.of[lane ^ distance];
      value = next;
    }
    return value.of[0];
  }
  // Sum over the lanes before each.
  template <class T>
  PYMDM_HD Lanes<T> before(const Lanes<T>& value) const {
    Lanes<T> out;
    T total = 0;
    for (int lane = 0; lane < kWarpLanes; ++lane) out.of[lane] = total, total += value.of[lane];
    return out;
  }
};

// Defined by core/cuda/launch.h for the functors that a .cu file names, by core/cuda_absent/launch.h where there is no
// CUDA.
template <class Body>
void launch_grid_cuda(Where where, int64_t rows, int64_t columns, const Body& body);
template <class Body>
void launch_warps_cuda(Where where, int64_t rows, const Body& body);

// body(row, column) for all rows and columns, in any order.
template <class Body>
void launch_grid(Where where, int64_t rows, int64_t columns, const Body& body) {
  if (rows == 0 || columns == 0) return;
  if (where.cuda()) return launch_grid_cuda(where, rows, columns, body);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) body(row, column);
}

// body(warp, row): one warp a row, in any order.
template <class Body>
void launch_warps(Where where, int64_t rows, const Body& body) {
  if (rows == 0) return;
  if (where.cuda()) return launch_warps_cuda(where, rows, body);
  for (int64_t row = 0; row < rows; ++row) body(WalkedWarp{}, row);
}

}  // namespace pymdm
