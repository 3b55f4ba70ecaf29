// choose on the device: one block a part of a row. Integer work for every element (ops/choose_tile.h); candidates are
// listed in shared memory and evaluated in float64 at the end, when few of them can still win. Threads race only over
// how early the cut rises; what is cut can never win, so the token is the same in every run.
#include <cuda_runtime.h>

#include "ops/choose_tile.h"
#include "ops/cuda/launch.h"

namespace pymdm::ops {
namespace {

struct Listed {
  int64_t column;
  float x;
  uint32_t word;
};

// The rare float64 work out of line, so that it takes no registers from the loop.
__device__ __noinline__ TileBest evaluate_apart(const ChooseArgs& args, const char* logits, int64_t row, int64_t v) {
  return evaluate(args, logits, row, v);
}

__device__ __noinline__ float cut_apart(double temperature, double x, uint32_t word) {
  return cut_from(temperature, x, word);
}

__device__ TileBest best_of_block(TileBest best, TileBest* shared) {
  for (int distance = 16; distance > 0; distance /= 2) {
    const TileBest other{__shfl_down_sync(0xFFFFFFFFu, best.score, distance),
                         __shfl_down_sync(0xFFFFFFFFu, static_cast<long long>(best.column), distance)};
    best = better(best, other);
  }
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int warp = 1; warp < kTileThreads / 32; ++warp) best = better(best, shared[warp]);
  return best;  // thread 0's counts
}

template <DType kType, bool kGreedy>
__global__ void __launch_bounds__(kTileThreads)
    choose_kernel(const __grid_constant__ ChooseArgs a, TileGrid grid, TileBest* found) {
  __shared__ TileBest warps[kTileThreads / 32];
  __shared__ Listed list[kGreedy ? 1 : kTileCandidates];
  __shared__ int listed;
  __shared__ uint32_t shared_cut;
  const int64_t row = blockIdx.x / grid.parts, begin = blockIdx.x % grid.parts * grid.length;
  const int64_t end = begin + grid.length < a.vocab ? begin + grid.length : a.vocab;
  const char* logits = tile_row(a, row);
  const bool vector = reinterpret_cast<uintptr_t>(logits) % alignof(RawQuad<kType>) == 0;
  const PhiloxRow philox = tile_philox(a, row);
  const float slope = kGreedy ? 0 : lazy_bound(a.temperature).slope;
  TileBest best{0, -1};
  if (threadIdx.x == 0) listed = 0, shared_cut = ordered(-INFINITY);
  __syncthreads();
  if (!kGreedy) {  // the first quad of each thread sets the cut
    const int64_t v = begin + 4 * threadIdx.x;
    uint32_t cut = ordered(-INFINITY);
    if (v < end) {
      const Quad q = load_quad<kType>(logits, a.banned, a.vocab, v, vector);
      const Words4 w = philox_block(philox, philox.first_block + static_cast<uint32_t>(v >> 2));
      if (quad_most(q) < INFINITY) cut = ordered(first_cut(q, w, a.temperature, slope));
    }
    cut = __reduce_max_sync(0xFFFFFFFFu, cut);
    if (threadIdx.x % 32 == 0) atomicMax(&shared_cut, cut);
    __syncthreads();
  }
  for (int64_t tile = begin + 4 * threadIdx.x; tile < end; tile += kTileColumns) {
    Quad q[kTileQuads];
#pragma unroll
    for (int k = 0; k < kTileQuads; ++k)  // beyond `end` of the last part: -inf; elsewhere `end` is a whole tile away
      q[k] = load_quad<kType>(logits, a.banned, a.vocab, tile + 4 * kTileThreads * k, vector);
#pragma unroll
    for (int k = 0; k < kTileQuads; ++k) {
      const int64_t v = tile + 4 * kTileThreads * k;
      const float most = quad_most(q[k]);
      if (!(most < INFINITY) && quad_bad(logits, a.dtype, a.banned, a.vocab, v)) best = TileBest{0, -2};
      if (kGreedy) {
        for (int i = 0; i < 4; ++i)
          if (v + i < a.vocab && !(a.banned && a.banned[v + i]) &&
              (kType == DType::kFloat64 || best.column < 0 || q[k].x[i] > static_cast<float>(best.score)))
            best = better(best, evaluate_apart(a, logits, row, v + i));
        continue;
      }
      const Words4 w = philox_block(philox, philox.first_block + static_cast<uint32_t>(v >> 2));
      float cut = from_ordered(*static_cast<volatile uint32_t*>(&shared_cut));
      if (!may_win(most, least_word(w), slope, cut)) continue;
      for (int i = 0; i < 4; ++i) {
        if (v + i >= a.vocab || (a.banned && a.banned[v + i]) || !may_win(q[k].x[i], w.w[i], slope, cut)) continue;
        const double x = load_element(logits, kType, v + i);
        if (!(x > -INFINITY && x < INFINITY)) continue;
        const float raised = cut_apart(a.temperature, x, w.w[i]);
        if (raised > cut) {
          cut = raised;
          atomicMax(&shared_cut, ordered(raised));
        }
        const int slot = atomicAdd(&listed, 1);
        if (slot < kTileCandidates)
          list[slot] = Listed{v + i, q[k].x[i], w.w[i]};
        else
          best = better(best, evaluate_apart(a, logits, row, v + i));
      }
    }
  }
  __syncthreads();
  if (!kGreedy) {
    const float cut = from_ordered(shared_cut);
    for (int slot = threadIdx.x; slot < listed && slot < kTileCandidates; slot += kTileThreads)
      if (may_win(list[slot].x, list[slot].word, slope, cut))
        best = better(best, evaluate_apart(a, logits, row, list[slot].column));
  }
  best = best_of_block(best, warps);
  if (threadIdx.x != 0) return;
  if (grid.parts > 1)
    found[blockIdx.x] = best;
  else
    a.token[row] = best.column < 0 ? -1 : best.column;
}

// One thread a row joins its parts, in any order alike.
__global__ void join_kernel(const TileBest* found, int64_t rows, int64_t parts, int64_t* token) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  TileBest best{0, -1};
  for (int64_t part = 0; part < parts; ++part) best = better(best, found[row * parts + part]);
  token[row] = best.column < 0 ? -1 : best.column;
}

template <DType kType>
void launch_choose(const ChooseArgs& args, TileGrid grid, TileBest* found, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(args.rows * grid.parts));
  if (args.temperature == 0)
    choose_kernel<kType, true><<<blocks, kTileThreads, 0, stream>>>(args, grid, found);
  else
    choose_kernel<kType, false><<<blocks, kTileThreads, 0, stream>>>(args, grid, found);
}

}  // namespace

bool cuda_built() { return true; }

int cuda_devices() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

int64_t choose_cuda_scratch(int64_t rows, int64_t vocab) {
  if (rows == 0) return 0;
  const int64_t parts = tile_grid(rows, vocab).parts;
  return parts > 1 ? rows * parts * static_cast<int64_t>(sizeof(TileBest)) : 0;
}

void choose_cuda(const ChooseArgs& args, void* scratch, Where where) {
  if (args.rows == 0) return;
  use_device(where.device);
  const TileGrid grid = tile_grid(args.rows, args.vocab);
  check(args.rows * grid.parts <= 0x7FFFFFFF, "choose", "expected at most 2^31 - 1 rows on cuda, got ", args.rows);
  const cudaStream_t stream = static_cast<cudaStream_t>(where.stream);
  TileBest* found = static_cast<TileBest*>(scratch);
  switch (args.dtype) {
    case DType::kFloat32:
      launch_choose<DType::kFloat32>(args, grid, found, stream);
      break;
    case DType::kBFloat16:
      launch_choose<DType::kBFloat16>(args, grid, found, stream);
      break;
    case DType::kFloat16:
      launch_choose<DType::kFloat16>(args, grid, found, stream);
      break;
    case DType::kFloat64:
      launch_choose<DType::kFloat64>(args, grid, found, stream);
      break;
  }
  if (grid.parts > 1)
    join_kernel<<<static_cast<unsigned>((args.rows + 127) / 128), 128, 0, stream>>>(found, args.rows, grid.parts,
                                                                                    args.token);
  check_launch("choose");
}

}  // namespace pymdm::ops
