// Launches the kernel of choose on a CUDA device.
#include "core/cuda/launch.h"
#include "ops/cuda/choose_kernel.h"

namespace pymdm::ops {
namespace {

template <DType kType>
void launch_choose(const ChooseArgs& args, TileGrid grid, void* scratch, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(args.rows * grid.parts));
  TileBest* found = static_cast<TileBest*>(scratch);
  unsigned* arrived = reinterpret_cast<unsigned*>(found + args.rows * grid.parts);
  const bool greedy = args.temperature == 0;
  const LazyBound bound = lazy_bound(greedy ? 1 : args.temperature);
  if (greedy)
    choose_kernel<kType, true><<<blocks, kTileThreads, 0, stream>>>(args, bound, grid, found, arrived);
  else
    choose_kernel<kType, false><<<blocks, kTileThreads, 0, stream>>>(args, bound, grid, found, arrived);
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
  return parts > 1 ? rows * (parts * static_cast<int64_t>(sizeof(TileBest)) + 4) : 0;
}

void choose_cuda(const ChooseArgs& args, void* scratch, Where where) {
  if (args.rows == 0) return;
  use_device(where.device);
  const TileGrid grid = tile_grid(args.rows, args.vocab);
  check(args.rows * grid.parts <= 0x7FFFFFFF, "choose", "expected at most 2^31 - 1 rows on cuda, got ", args.rows);
  const cudaStream_t stream = static_cast<cudaStream_t>(where.stream);
  switch (args.dtype) {
    case DType::kFloat32:
      launch_choose<DType::kFloat32>(args, grid, scratch, stream);
      break;
    case DType::kBFloat16:
      launch_choose<DType::kBFloat16>(args, grid, scratch, stream);
      break;
    case DType::kFloat16:
      launch_choose<DType::kFloat16>(args, grid, scratch, stream);
      break;
    case DType::kFloat64:
      launch_choose<DType::kFloat64>(args, grid, scratch, stream);
      break;
  }
  check_launch("choose");
}

}  // namespace pymdm::ops
