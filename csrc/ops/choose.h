// choose: one token per row of logits by Gumbel-max, exactly.
// Law: P(token = v) = exp(x_v / T) / sum_w exp(x_w / T) over the tokens that are not banned, up to float64 evaluation
// of argmax_v (x_v / T + g_v), g_v Gumbel noise resolved to 2^-64 (Zheng et al., ICLR 2025, section 5). Ties go to the
// lowest index.
#pragma once

#include <cstdint>

#include "core/launch.h"
#include "core/types.h"
#include "random/address.h"

namespace pymdm::ops {

// The only tokens that may be chosen, in increasing order; without data: every token.
using TokenSet = Span<const int64_t>;

struct ChooseArgs {
  const void* logits = nullptr;  // [M, V], rows `row_stride` elements apart
  DType dtype = DType::kFloat32;
  int64_t rows = 0, vocab = 0, row_stride = 0;
  uint64_t seed = 0;
  // On a device: where the seed is kept, so that a recorded launch serves every seed.
  const uint64_t* seed_at = nullptr;
  Purpose purpose = Purpose::kToken;
  const uint64_t* sequence = nullptr;  // [M]
  const uint32_t* event = nullptr;     // [M]
  const uint64_t* base = nullptr;      // [M] index of column 0, a multiple of 4; null means 0
  double temperature = 1.0;            // 0 takes the arg-max without noise
  const uint8_t* banned = nullptr;     // [V], nonzero is never chosen; null bans nothing
  const TokenSet* allowed = nullptr;   // [M] on the CPU, a set a row; null allows all. choose_tiles does not look at it
  int64_t top_k = 0;                   // 0 off; a change of law
  double top_p = 1.0;                  // 1 off; a change of law
  bool mark_bad = false;               // bad rows get token -1 in place of an error
  int64_t* token = nullptr;            // [M] out
};

// Throws Error, naming the row, where a row has NaN, +inf, or nothing above -inf that is allowed and not banned.
void choose(const ChooseArgs& args);

// The same law with every element evaluated, for tests. Rows are taken to be good, top_k and top_p are not looked at.
void choose_full(const ChooseArgs& args);

// CPU emulation of the CUDA kernel, same tiles, order and functions. Tests only. Bad rows get token -1, top_k and top_p
// are not looked at.
void choose_tiles(const ChooseArgs& args);

// Largest logit of each row as float32: the time of reading logits once, for pymdm/bench/choose.py.
void plain_max(const void* logits, DType dtype, int64_t rows, int64_t vocab, int64_t row_stride, float* most);

// The same on a CUDA device; pointers are device pointers. `scratch` holds choose_cuda_scratch(rows, vocab) bytes,
// zero before the first call and again after each. Bad rows get token -1, top_k and top_p are not looked at.
void choose_cuda(const ChooseArgs& args, void* scratch, Where where);
int64_t choose_cuda_scratch(int64_t rows, int64_t vocab);

// Whether CUDA kernels are in this build, and how many devices they can use.
bool cuda_built();
int cuda_devices();

}  // namespace pymdm::ops
