// Every kernel of csrc/ops/cuda and csrc/sample/cuda under emulation, as a shared library for test_emulation.py.
// `launch_grid` and `launch_warps` on "device 0" are emulated, elsewhere they walk the same bodies by loops.
#include <cuda_runtime.h>

#include "core/cuda/warp.h"
#include "ops/cuda/choose_kernel.h"
#include "ops/device_norm.h"
#include "ops/device_rows.h"
#include "sample/device_bits.h"
#include "sample/first_hitting_step.h"

namespace pymdm {

const Where kEmulated{0, nullptr};

template <class Body>
void launch_grid_cuda(Where, int64_t rows, int64_t columns, const Body& body) {
  const bool whole = emulated::launch(grid_of(rows, columns), dim3(kWarpLanes, kWarpsPerBlock),
                                      [&] { grid_kernel<Body>(body, rows, columns); });
  check(whole, "emulation", "a block hung");
}

template <class Body>
void launch_warps_cuda(Where, int64_t rows, const Body& body) {
  const bool whole =
      emulated::launch(blocks_of(rows, 1), dim3(kWarpLanes, kWarpsPerBlock), [&] { warps_kernel<Body>(body, rows); });
  check(whole, "emulation", "a block hung");
}

}  // namespace pymdm

#include "bodies.h"

namespace {

using namespace pymdm;
using namespace pymdm::ops;

template <DType kType>
bool run_choose(const ChooseArgs& a, TileGrid grid, TileBest* found, unsigned* arrived) {
  const LazyBound bound = lazy_bound(a.temperature == 0 ? 1 : a.temperature);
  return emulated::launch(dim3(static_cast<unsigned>(a.rows * grid.parts)), dim3(kTileThreads), [&] {
    if (a.temperature == 0)
      choose_kernel<kType, true>(a, bound, grid, found, arrived);
    else
      choose_kernel<kType, false>(a, bound, grid, found, arrived);
  });
}

}  // namespace

extern "C" {

void emulated_order(uint64_t seed) { emulated::seed = seed; }

// choose_kernel on rows in this memory; gives the number of parts of a row, 0 where a block hung or the counters of
// parts did not come back to 0.
int64_t emulated_choose(const void* logits, int32_t dtype, int64_t rows, int64_t vocab, int64_t stride, uint64_t seed,
                        const uint64_t* sequence, const uint32_t* event, const uint64_t* base, double temperature,
                        const uint8_t* banned, int64_t* token) {
  ChooseArgs a;
  a.logits = logits, a.dtype = static_cast<DType>(dtype), a.rows = rows, a.vocab = vocab, a.row_stride = stride;
  a.seed_at = &seed, a.sequence = sequence, a.event = event, a.base = base, a.temperature = temperature;
  a.banned = banned, a.token = token;
  const TileGrid grid = tile_grid(rows, vocab);
  std::vector<TileBest> found(rows * grid.parts);
  std::vector<unsigned> arrived(rows, 0);
  bool whole = true;
  for (int call = 0; call < 2; ++call)  // as a replayed graph: the same scratch again
    whole =
        whole && (a.dtype == DType::kFloat32    ? run_choose<DType::kFloat32>(a, grid, found.data(), arrived.data())
                  : a.dtype == DType::kBFloat16 ? run_choose<DType::kBFloat16>(a, grid, found.data(), arrived.data())
                  : a.dtype == DType::kFloat16  ? run_choose<DType::kFloat16>(a, grid, found.data(), arrived.data())
                                                : run_choose<DType::kFloat64>(a, grid, found.data(), arrived.data()));
  for (const unsigned count : arrived) whole = whole && count == 0;
  return whole ? grid.parts : 0;
}

// Numbers of bodies.h; [0] cases, [1] of them that differ from the walk.
void emulated_rows(uint64_t seed, int64_t* out) { bodies::rows(seed, out); }
void emulated_step(uint64_t seed, int64_t* out) { bodies::step(seed, out); }

void emulated_bits(uint64_t seed, int64_t count, const uint64_t* sequence, const int64_t* event, int64_t purpose,
                   const uint64_t* index, uint64_t* out) {
  launch_grid(kEmulated, count, 1,
              sample::DeviceBits{seed, sequence, event, static_cast<Purpose>(purpose), index, out});
}

// The grid of grid_kernel: blocks, and parts of a row.
void emulated_grid(int64_t rows, int64_t columns, int64_t* out) {
  const dim3 grid = grid_of(rows, columns);
  out[0] = grid.x, out[1] = grid.y;
}

// A block's sum by a tree in shared memory, with its barriers or without; -1 where only half of the threads come to
// the last barrier, and the block hangs. Tests of the emulation itself.
int64_t emulated_sum(int32_t barriers, int32_t hang) {
  int64_t out = 0, values[256] = {};
  const bool whole = emulated::launch(dim3(1), dim3(256), [&] {
    values[threadIdx.x] = threadIdx.x;
    for (unsigned half = 128; half > 0; half /= 2) {
      if (barriers) __syncthreads();
      if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    }
    if (!hang || threadIdx.x < 128) __syncthreads();
    if (threadIdx.x == 0) out = values[0];
  });
  return whole ? out : -1;
}
}
