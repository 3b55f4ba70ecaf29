// The kernel of choose: one block a part of a row. Integer work for every element (ops/choose_tile.h); candidates are
// listed in shared memory and evaluated in float64 at the end, when few of them can still win. Threads race only over
// how early the cut rises; what is cut can never win, so the token is the same in every run.
//
// No launches here: tests/device/emulation runs this text on a processor.
#pragma once

#include <cuda_runtime.h>

#include "ops/choose_tile.h"

namespace pymdm::ops {
namespace {

// Blocks that a multiprocessor of 64 Ki registers holds at a time: at most 80 registers a thread, and none spills.
#if !defined(PYMDM_TILE_BLOCKS)
#define PYMDM_TILE_BLOCKS 3
#endif

struct Listed {
  int64_t column;
  float x;
  uint32_t word;
};

// What the threads of a block share: the cut, as ordered(), and candidates for the winner.
template <bool kGreedy>
struct TileShared {
  uint32_t cut;
  int listed;
  Listed list[kGreedy ? 1 : kTileCandidates];
  TileBest warps[kTileThreads / 32];
};

__device__ float shared_cut(const uint32_t* cut) { return from_ordered(*static_cast<const volatile uint32_t*>(cut)); }

// The rare float64 work out of line, so that it takes no registers from the loop.
__device__ __noinline__ TileBest evaluate_apart(const ChooseArgs& args, const char* logits, int64_t row, int64_t v) {
  return evaluate(args, logits, row, v);
}

// One quad, element by element: lists those that may win and raises the cut. Rare, so it makes its words again rather
// than hold them in the loop's registers. `best`: of what found no place in the list.
template <DType kType>
__device__ __noinline__ void sift(const ChooseArgs& a, int64_t row, int64_t v, float slope, TileShared<false>& shared,
                                  TileBest& best) {
  const char* logits = tile_row<kType>(a, row);
  if (quad_bad(logits, kType, a.banned, a.vocab, v)) {
    best = TileBest{0, -2};
    return;
  }
  const PhiloxRow philox = tile_philox(a, row);
  const Words4 w = philox_block(philox, philox.first_block + static_cast<uint32_t>(v >> 2));
  for (int i = 0; i < 4 && v + i < a.vocab; ++i) {
    if (a.banned && a.banned[v + i]) continue;
    const float cut = shared_cut(&shared.cut);
    const double x = load_element(logits, kType, v + i);
    if (!(x > -INFINITY) || !may_win(static_cast<float>(x), w.w[i], slope, cut)) continue;
    const float raised = cut_from(a.temperature, x, w.w[i]);
    if (raised > cut) atomicMax(&shared.cut, ordered(raised));
    const int slot = atomicAdd(&shared.listed, 1);
    if (slot < kTileCandidates)
      shared.list[slot] = Listed{v + i, static_cast<float>(x), w.w[i]};
    else
      best = better(best, evaluate_apart(a, logits, row, v + i));
  }
}

// The cut that a thread's first quad sets, as ordered().
template <DType kType>
__device__ __noinline__ uint32_t cut_of_quad(const ChooseArgs& a, int64_t row, int64_t v) {
  const char* logits = tile_row<kType>(a, row);
  const Quad q = load_quad<kType>(logits, a.banned, a.vocab, v, quads_aligned<kType>(logits));
  if (!(quad_most(q) < INFINITY)) return ordered(-INFINITY);
  const PhiloxRow philox = tile_philox(a, row);
  const Words4 w = philox_block(philox, philox.first_block + static_cast<uint32_t>(v >> 2));
  return ordered(first_cut(q, w, a.temperature, lazy_bound(a.temperature).slope));
}

// The last few quads of a thread, one at a time: those that do not fill a tile, and the end of the row.
template <DType kType>
__device__ __noinline__ void sample_end(const ChooseArgs& a, int64_t row, int64_t v, int64_t end, float slope,
                                        TileShared<false>& shared, TileBest& best) {
  const char* logits = tile_row<kType>(a, row);
  const bool wide = quads_aligned<kType>(logits);
  const PhiloxRow philox = tile_philox(a, row);
  for (; v < end; v += 4 * kTileThreads) {
    const float most = quad_most(load_quad<kType>(logits, a.banned, a.vocab, v, wide));
    const Words4 w = philox_block(philox, philox.first_block + static_cast<uint32_t>(v >> 2));
    if (!(most < INFINITY) || may_win(most, least_word(w), slope, shared_cut(&shared.cut)))
      sift<kType>(a, row, v, slope, shared, best);
  }
}

// The best of columns begin + 4 thread, ... of a part [begin, end).
template <DType kType>
__device__ TileBest sample_part(const ChooseArgs& a, int64_t row, int64_t begin, int64_t end,
                                TileShared<false>& shared) {
  const char* logits = tile_row<kType>(a, row);
  const bool wide = quads_aligned<kType>(logits);
  const float slope = lazy_bound(a.temperature).slope;
  TileBest best{0, -1};  // by reference to functions out of line: not in the loop's registers
  uint32_t quad = static_cast<uint32_t>(begin >> 2) + threadIdx.x;  // columns 4 quad .. 4 quad + 3
  const int64_t v = 4 * static_cast<int64_t>(quad);
  const uint32_t first = v < end ? cut_of_quad<kType>(a, row, v) : ordered(-INFINITY);
  const uint32_t cut = __reduce_max_sync(0xFFFFFFFFu, first);
  if (threadIdx.x % 32 == 0) atomicMax(&shared.cut, cut);
  __syncthreads();

  // Whole quads, several at a time: no branch between their loads and the mask of those that need a look. Bans are the
  // look's matter: a banned column can only ask for one too many.
  const PhiloxRow philox = tile_philox(a, row);
  const uint32_t whole = static_cast<uint32_t>(end >> 2);
  for (; quad + kTileThreads * (kTileQuads - 1) < whole; quad += kTileThreads * kTileQuads) {
    Quad q[kTileQuads];
    const auto column = [&](int k) { return 4 * static_cast<int64_t>(quad + kTileThreads * k); };
    if (wide) {
#pragma unroll
      for (int k = 0; k < kTileQuads; ++k) q[k] = load_whole<kType>(logits, column(k), true);
    } else {
#pragma unroll
      for (int k = 0; k < kTileQuads; ++k) q[k] = load_whole<kType>(logits, column(k), false);
    }
    const float least = shared_cut(&shared.cut);
    unsigned look = 0;
#pragma unroll
    for (int k = 0; k < kTileQuads; ++k) {
      const float most = quad_most(q[k]);
      const Words4 w = philox_block(philox, philox.first_block + quad + kTileThreads * k);
      look |= static_cast<unsigned>(!(most < INFINITY) | may_win(most, least_word(w), slope, least)) << k;
    }
    for (; look != 0; look &= look - 1) sift<kType>(a, row, column(__ffs(look) - 1), slope, shared, best);
  }
  if (4 * static_cast<int64_t>(quad) < end)
    sample_end<kType>(a, row, 4 * static_cast<int64_t>(quad), end, slope, shared, best);
  __syncthreads();
  const float last = shared_cut(&shared.cut);
  for (int slot = threadIdx.x; slot < shared.listed && slot < kTileCandidates; slot += kTileThreads)
    if (may_win(shared.list[slot].x, shared.list[slot].word, slope, last))
      best = better(best, evaluate_apart(a, logits, row, shared.list[slot].column));
  return best;
}

// Temperature 0: the largest logit.
template <DType kType>
__device__ TileBest largest_of_part(const ChooseArgs& a, int64_t row, int64_t begin, int64_t end) {
  const char* logits = tile_row<kType>(a, row);
  const bool wide = quads_aligned<kType>(logits);
  TileBest best{0, -1};
  for (int64_t v = begin + 4 * threadIdx.x; v < end; v += 4 * kTileThreads) {
    const Quad q = load_quad<kType>(logits, a.banned, a.vocab, v, wide);
    if (!(quad_most(q) < INFINITY) && quad_bad(logits, kType, a.banned, a.vocab, v)) best = TileBest{0, -2};
    for (int i = 0; i < 4; ++i)
      if (v + i < a.vocab && !(a.banned && a.banned[v + i]) &&
          (kType == DType::kFloat64 || best.column < 0 || q.x[i] > static_cast<float>(best.score)))
        best = better(best, evaluate_apart(a, logits, row, v + i));
  }
  return best;
}

// The best of a block's threads; thread 0's result counts.
__device__ TileBest best_of_block(TileBest best, TileBest* warps) {
  for (int distance = 16; distance > 0; distance /= 2) {
    const TileBest other{__shfl_down_sync(0xFFFFFFFFu, best.score, distance),
                         __shfl_down_sync(0xFFFFFFFFu, static_cast<long long>(best.column), distance)};
    best = better(best, other);
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int warp = 1; warp < kTileThreads / 32; ++warp) best = better(best, warps[warp]);
  return best;
}

// Whether this block is the last of its row's to leave its part in found[row * parts ..]. `arrived` is 0 before the
// launch and after it.
__device__ bool last_of_row(TileBest best, int64_t parts, TileBest* found, unsigned* arrived) {
  found[blockIdx.x] = best;
  __threadfence();
  if (atomicAdd(arrived, 1u) + 1 != static_cast<unsigned>(parts)) return false;
  __threadfence();
  *arrived = 0;
  return true;
}

template <DType kType, bool kGreedy>
__global__ void __launch_bounds__(kTileThreads, PYMDM_TILE_BLOCKS)
    choose_kernel(const __grid_constant__ ChooseArgs a, TileGrid grid, TileBest* found, unsigned* arrived) {
  __shared__ TileShared<kGreedy> shared;
  const int64_t row = blockIdx.x / grid.parts, begin = blockIdx.x % grid.parts * grid.length;
  const int64_t end = begin + grid.length < a.vocab ? begin + grid.length : a.vocab;
  if (threadIdx.x == 0) shared.listed = 0, shared.cut = ordered(-INFINITY);
  __syncthreads();
  TileBest best;
  if constexpr (kGreedy)
    best = largest_of_part<kType>(a, row, begin, end);
  else
    best = sample_part<kType>(a, row, begin, end, shared);
  best = best_of_block(best, shared.warps);
  if (threadIdx.x != 0) return;
  if (grid.parts > 1) {  // parts meet in any order alike
    if (!last_of_row(best, grid.parts, found, arrived + row)) return;
    for (int64_t part = 0; part < grid.parts; ++part) {
      const volatile TileBest& other = found[row * grid.parts + part];  // past this multiprocessor's own cache
      best = better(best, TileBest{other.score, other.column});
    }
  }
  a.token[row] = best.column < 0 ? -1 : best.column;
}

}  // namespace
}  // namespace pymdm::ops
