#include "model/denoiser.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace pymdm::model {
namespace {

constexpr const char* kOp = "engine";

}  // namespace

void check_batch(const Config& c, const Batch& batch) {
  const int64_t T = batch.tokens.size, B = batch.offsets.size - 1;
  check(B >= 0 && batch.offsets[0] == 0 && batch.offsets[B] == T, kOp, "offsets must run from 0 to the ", T, " tokens");
  check(batch.times.size == B, kOp, "expected one time for each of ", B, " sequences, got ", batch.times.size);
  check(batch.rank.size == 0 || batch.rank.size == T, kOp, "expected the ranks of ", T, " tokens, got ",
        batch.rank.size);
  check(batch.owner.size == 0 || batch.owner.size == B, kOp, "expected the owners of ", B, " sequences, got ",
        batch.owner.size);
  for (int64_t b = 0; b < B; ++b) {
    const int64_t length = batch.offsets[b + 1] - batch.offsets[b];
    check(length >= 1 && length <= c.length, kOp, "a sequence must have 1 to ", c.length, " tokens, sequence ", b,
          " has ", length);
    const int64_t* const begin = batch.tokens.begin();
    check(!c.token_dropout || std::any_of(begin + batch.offsets[b], begin + batch.offsets[b + 1],
                                          [&](int64_t token) { return token != c.mask_id; }),
          kOp, "this network scales its embeddings by the share of tokens that are not masks (ESM-2's token dropout): ",
          "give a frame or another known token, sequence ", b, " has none");
    check(c.conditioning != Conditioning::kTime || std::isfinite(batch.times[b]), kOp,
          "this network is conditioned on time: sequence ", b, " has time ", batch.times[b]);
  }
  for (const int64_t token : batch.tokens)
    check(token >= 0 && token < c.embed_rows(), kOp, "token ids must be in [0, ", c.embed_rows(), "), got ", token);
  for (const int64_t row : batch.rows) check(row >= 0 && row < T, kOp, "rows must be in [0, ", T, "), got ", row);
}

}  // namespace pymdm::model
