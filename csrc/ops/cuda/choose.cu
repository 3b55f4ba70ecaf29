#include <cuda_runtime.h>

#include "core/error.h"
#include "ops/choose.h"
#include "ops/convert.h"
#include "random/gumbel.h"

namespace pymdm::ops {
namespace {

constexpr int kThreads = 256;

struct Best {
  double score;
  int64_t token;  // -1 none, -2 bad row
};

__device__ Best better(Best a, Best b) {
  if (a.token == -2 || b.token == -2) return Best{0, -2};
  if (b.token < 0) return a;
  if (a.token < 0 || b.score > a.score || (b.score == a.score && b.token < a.token)) return b;
  return a;
}

// One block a row; every element evaluated in float64.
__global__ void choose_kernel(ChooseArgs a) {
  __shared__ Best shared[kThreads];
  const int64_t row = blockIdx.x;
  const char* logits = static_cast<const char*>(a.logits) + row * a.row_stride *
                                                                (a.dtype == DType::kFloat32   ? 4
                                                                 : a.dtype == DType::kFloat64 ? 8
                                                                                              : 2);
  const double inverse_temperature = a.temperature > 0 ? 1.0 / a.temperature : 1.0;
  const uint64_t base = a.base ? a.base[row] : 0;
  Best best{0, -1};
  for (int64_t v = threadIdx.x; v < a.vocab; v += kThreads) {
    if (a.banned && a.banned[v]) continue;
    const double x = load_element(logits, a.dtype, v);
    if (isnan(x) || (isinf(x) && x > 0)) best = Best{0, -2};
    if (isinf(x)) continue;
    double score = x * inverse_temperature;
    if (a.temperature > 0) score += gumbel(random_bits(a.seed, a.sequence[row], a.event[row], a.purpose, base + v));
    best = better(best, Best{score, v});
  }
  shared[threadIdx.x] = best;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] = better(shared[threadIdx.x], shared[threadIdx.x + half]);
    __syncthreads();
  }
  if (threadIdx.x == 0) a.token[row] = shared[0].token < 0 ? -1 : shared[0].token;
}

}  // namespace

bool cuda_built() { return true; }

int cuda_devices() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

int64_t choose_cuda_scratch(int64_t, int64_t) { return 0; }

void choose_cuda(const ChooseArgs& args, void*, void* stream) {
  if (args.rows == 0) return;
  choose_kernel<<<static_cast<unsigned>(args.rows), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(args);
  const cudaError_t status = cudaGetLastError();
  check(status == cudaSuccess, "choose", "CUDA launch failed: ", cudaGetErrorString(status));
}

}  // namespace pymdm::ops
