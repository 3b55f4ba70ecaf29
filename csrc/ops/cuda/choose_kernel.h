// The CUDA kernel of choose takes one block for each part of a row. Every element costs integer work without a branch
// (ops/choose_tile.h): a thread keeps the best and the second best upper bound of its quads. The best of every eight
// threads set the cut; what reaches it, a few quads of a part, is evaluated in float64; where a thread's second bound
// reaches it, all of its quads are looked at again, by the whole block.
//
// Nothing is launched here, so that tests/device/emulation can run this text on a processor.
#pragma once

#include <cuda_runtime.h>

#include "ops/choose_tile.h"

namespace pymdm::ops {
namespace {

constexpr int kTileBlocks = 4;  // that a multiprocessor of 64 Ki registers holds at a time: 64 registers a thread

// What the threads of a block share.
struct TileShared {
  uint32_t cut;  // what can still win, as ordered()
  int listed;    // quads to evaluate, from the list's front
  int again;     // threads whose quads are looked at again, from its back
  uint32_t list[kTileThreads];
  TileBest warps[kTileThreads / 32];
};

// The rare float64 work out of line, so that it takes no registers from the loop.
__device__ __noinline__ TileBest evaluate_apart(const ChooseArgs& args, const char* logits, int64_t row, int64_t v) {
  return evaluate(args, logits, row, v);
}

// The cut that a quad sets, as ordered().
template <DType kType>
__device__ __noinline__ uint32_t cut_of_quad(const ChooseArgs& a, const LazyBound& bound, int64_t row, uint32_t quad) {
  const char* logits = tile_row<kType>(a, row);
  const Quad q = load_quad<kType>(logits, a.banned, a.vocab, 4 * static_cast<int64_t>(quad), false);
  const PhiloxRow philox = tile_philox(a, row);
  return ordered(first_cut(q, philox_block(philox, philox.first_block + quad), bound));
}

// The best of the elements of a quad that reach the cut.
template <DType kType>
__device__ __noinline__ TileBest look_again(const ChooseArgs& a, int64_t row, uint32_t quad, float slope, float cut) {
  const char* logits = tile_row<kType>(a, row);
  const int64_t v = 4 * static_cast<int64_t>(quad);
  const Quad q = load_quad<kType>(logits, a.banned, a.vocab, v, false);
  if (!(quad_most(q) < INFINITY) && quad_bad(logits, kType, a.banned, a.vocab, v)) return TileBest{0, -2};
  const PhiloxRow philox = tile_philox(a, row);
  const Words4 w = philox_block(philox, philox.first_block + quad);
  TileBest best{0, -1};
  for (int i = 0; i < 4 && v + i < a.vocab; ++i)
    if (may_win(q.x[i], w.w[i], slope, cut) && !(a.banned && a.banned[v + i]))
      best = better(best, evaluate(a, logits, row, v + i));
  return best;
}

// The last quad of a row whose length is no multiple of four.
template <DType kType>
__device__ __noinline__ TileTop see_end(const ChooseArgs& a, int64_t row, uint32_t quad, float slope, TileTop top) {
  const Quad q = load_quad<kType>(tile_row<kType>(a, row), a.banned, a.vocab, 4 * static_cast<int64_t>(quad), false);
  const PhiloxRow philox = tile_philox(a, row);
  see(top, quad_most(q), least_word(philox_block(philox, philox.first_block + quad)), slope, quad);
  return top;
}

// kTileQuads quads of a thread, all loads before the work on the first; unless kAll, those from `whole` on are left
// out. `product`: kPhiloxM0 times the block of the first.
template <DType kType, bool kWide, bool kAll>
__device__ __forceinline__ void see_quads(const ChooseArgs& a, const char* logits, const PhiloxRow& philox,
                                          uint64_t product, uint32_t quad, uint32_t whole, float slope, TileTop& top) {
  RawQuad<kType> raw[kTileQuads];
  const int64_t v = 4 * static_cast<int64_t>(quad), step = 4 * kTileThreads;
  const auto inside = [&](int k) { return kAll || quad + kTileThreads * k < whole; };
#pragma unroll
  for (int k = 0; k < kTileQuads; ++k)
    if (inside(k)) raw[k] = load_raw<kType>(logits, v + step * k, kWide);
  if (a.banned) {
#pragma unroll
    for (int k = 0; k < kTileQuads; ++k)
      if (inside(k)) ban<kType>(raw[k], a.banned, v + step * k);
  }
#pragma unroll
  for (int k = 0; k < kTileQuads; ++k) {
    if (!inside(k)) continue;
    const uint64_t p = product + uint64_t{kPhiloxM0} * (kTileThreads * k);
    const Words4 w = philox_block_of(philox, {static_cast<uint32_t>(p), static_cast<uint32_t>(p >> 32)});
    see(top, raw_most<kType>(raw[k]), least_word(w), slope, quad + kTileThreads * k);
  }
}

// The bounds of columns begin + 4 thread, ... of a part [begin, end).
template <DType kType, bool kWide>
__device__ __forceinline__ TileTop bounds_of_part(const ChooseArgs& a, int64_t row, int64_t begin, int64_t end,
                                                  float slope) {
  const char* logits = tile_row<kType>(a, row);
  const PhiloxRow philox = tile_philox(a, row);
  TileTop top;
  uint32_t quad = static_cast<uint32_t>(begin >> 2) + threadIdx.x;  // columns 4 quad .. 4 quad + 3
  const uint32_t whole = static_cast<uint32_t>(end >> 2), step = kTileThreads * kTileQuads;
  uint64_t product = uint64_t{kPhiloxM0} * (philox.first_block + quad);
  for (; quad + (step - kTileThreads) < whole; quad += step, product += uint64_t{kPhiloxM0} * step)
    see_quads<kType, kWide, true>(a, logits, philox, product, quad, whole, slope, top);
  see_quads<kType, kWide, false>(a, logits, philox, product, quad, whole, slope, top);
  if (end % 4 != 0 && (whole - static_cast<uint32_t>(begin >> 2)) % kTileThreads == threadIdx.x)
    top = see_end<kType>(a, row, whole, slope, top);
  return top;
}

// The cut of a part, from the lower bounds of the best quads of every eight threads, all in the first warp. A quad's
// upper bound joins its largest logit to its least word, and may be far above what the quad holds; of 32 one is near
// the best.
template <DType kType>
__device__ float cut_of_part(const ChooseArgs& a, const LazyBound& bound, int64_t row, const TileTop& top,
                             TileShared& shared) {
  static_assert(kTileThreads == 8 * 32, "the best of every eight threads fill a warp");
  uint32_t key = ordered(top.first), quad = top.quad;
  for (int distance = 4; distance > 0; distance /= 2) {
    const uint32_t other = __shfl_xor_sync(0xFFFFFFFFu, key, distance);
    const uint32_t where = __shfl_xor_sync(0xFFFFFFFFu, quad, distance);
    if (other > key || (other == key && where < quad)) key = other, quad = where;
  }
  if (threadIdx.x % 8 == 0) shared.list[threadIdx.x / 8] = quad;
  __syncthreads();
  if (threadIdx.x < 32) {
    quad = shared.list[threadIdx.x];
    const uint32_t mine = quad == kNoQuad ? ordered(-INFINITY) : cut_of_quad<kType>(a, bound, row, quad);
    const uint32_t best = __reduce_max_sync(0xFFFFFFFFu, mine);
    if (threadIdx.x == 0) shared.cut = best;
  }
  __syncthreads();
  if (kType == DType::kFloat64 && shared.cut == ordered(-INFINITY)) {  // beyond float32: another quad may do
    __syncthreads();
    if (top.quad != kNoQuad) atomicMax(&shared.cut, cut_of_quad<kType>(a, bound, row, top.quad));
    __syncthreads();
  }
  return from_ordered(shared.cut);
}

// The best of a part [begin, end). `alone`: of the whole block if it is the first warp's.
template <DType kType>
__device__ TileBest sample_part(const ChooseArgs& a, const LazyBound& bound, int64_t row, int64_t begin, int64_t end,
                                TileShared& shared, bool& alone) {
  const TileTop top = quads_aligned<kType>(tile_row<kType>(a, row))
                          ? bounds_of_part<kType, true>(a, row, begin, end, bound.slope)
                          : bounds_of_part<kType, false>(a, row, begin, end, bound.slope);
  const float cut = cut_of_part<kType>(a, bound, row, top, shared);
  if (looks_again(top, cut))
    shared.list[kTileThreads - 1 - atomicAdd(&shared.again, 1)] = threadIdx.x;
  else if (top.quad != kNoQuad && !(top.first < cut))
    shared.list[atomicAdd(&shared.listed, 1)] = top.quad;
  __syncthreads();
  const int listed = shared.listed, again = shared.again;
  alone = again == 0 && 4 * listed <= 32;
  TileBest best{0, -1};
  const char* logits = tile_row<kType>(a, row);
  for (int i = threadIdx.x; i < 4 * listed; i += kTileThreads) {
    const int64_t v = 4 * static_cast<int64_t>(shared.list[i / 4]) + i % 4;
    if (v < a.vocab && !(a.banned && a.banned[v])) best = better(best, evaluate_apart(a, logits, row, v));
  }
  if (again == 0) return best;
  const uint32_t first = static_cast<uint32_t>(begin >> 2), last = static_cast<uint32_t>((end + 3) >> 2);
  const uint32_t each = (last - first + kTileThreads - 1) / kTileThreads;  // quads of a thread
  for (uint32_t i = threadIdx.x; i < each * again; i += kTileThreads) {
    const uint32_t quad = first + shared.list[kTileThreads - 1 - i % again] + kTileThreads * (i / again);
    if (quad < last) best = better(best, look_again<kType>(a, row, quad, bound.slope, cut));
  }
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

// The best of a block's threads, or of its first warp's where that is `alone`; thread 0's result counts.
__device__ TileBest best_of_block(TileBest best, bool alone, TileBest* warps) {
  for (int distance = 16; distance > 0; distance /= 2) {
    const TileBest other{__shfl_down_sync(0xFFFFFFFFu, best.score, distance),
                         __shfl_down_sync(0xFFFFFFFFu, static_cast<long long>(best.column), distance)};
    best = better(best, other);
  }
  if (alone) return best;
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
__global__ void __launch_bounds__(kTileThreads, kTileBlocks)
    choose_kernel(const __grid_constant__ ChooseArgs a, const __grid_constant__ LazyBound bound, TileGrid grid,
                  TileBest* found, unsigned* arrived) {
  __shared__ TileShared shared;
  const int64_t row = blockIdx.x / grid.parts, begin = blockIdx.x % grid.parts * grid.length;
  const int64_t end = begin + grid.length < a.vocab ? begin + grid.length : a.vocab;
  if (threadIdx.x == 0) shared.listed = shared.again = 0;
  __syncthreads();
  TileBest best;
  bool alone = false;
  if constexpr (kGreedy)
    best = largest_of_part<kType>(a, row, begin, end);
  else
    best = sample_part<kType>(a, bound, row, begin, end, shared, alone);
  if (alone && threadIdx.x >= 32) return;
  best = best_of_block(best, alone, shared.warps);
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
