// The workspace holds the activations of one forward and is kept between forwards. Its size is linear in the tokens and
// chosen rows of the largest batch so far.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"
#include "ops/attention.h"
#include "ops/matrix.h"

namespace pymdm::model {

struct Workspace {
  // T tokens, M chosen rows, B sequences, in this order: residual streams, normed rows, queries, attention's output.
  ops::Matrix x, h, q, o;        // x float32 [T, D]; h [max(T, M), D], q and o [max(T, M), H * hd] of the engine's type
  ops::Matrix chosen, chosen_h;  // the same as x and h for the chosen rows [M, D]
  ops::Matrix hidden;            // [chunk, F]
  ops::Matrix condition, condition_hidden, mods;  // float32 [B, cond], [B, 256 + cond], [B, 6 D]
  ops::Matrix narrow, narrow_h;  // [max(T, M), E] float32 and of the engine's type, where embed_dim E is not D
  ops::Matrix heads;             // [max(T, M), H * hd] float32, where norms go over all heads of a row
  ops::KeyValues kv;
  ops::Beside beside;

  // Lays the matrices out for a batch; grows the memory where it is too small.
  void fit(const Config& config, DType dtype, int64_t hidden, int64_t tokens, int64_t rows, int64_t sequences,
           int64_t slots, int64_t beside_rows);
  void poison();  // fills the memory with NaN, for tests
  int64_t bytes() const { return memory_.bytes(); }

 private:
  ops::Buffer memory_;
};

}  // namespace pymdm::model
