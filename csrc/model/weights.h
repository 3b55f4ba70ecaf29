// Holds a network's parameters, checked by name and shape and packed once.
#pragma once

#include <vector>

#include "model/config.h"
#include "model/parameters.h"
#include "ops/attention.h"
#include "ops/linear.h"
#include "ops/mlp.h"
#include "ops/norm.h"

namespace pymdm::model {

struct Block {
  ops::Norm norm1, norm2;    // norm1 is empty where the block has none
  ops::Norm q_norm, k_norm;  // empty where the network has none
  ops::Packed q, kv, out;
  ops::Mlp mlp;
  ops::Packed ada;  // [6 D]: shift1, scale1, gate1, shift2, scale2, gate2; only where the network sees the time
};

// Constant conditioning is folded here: scale and shift into the norms, gates into the layers before the residual.
struct Weights {
  ops::Parameter embed;          // the caller's memory
  ops::Packed embed_map;         // embed_dim -> D, where they differ
  std::vector<Block> blocks;     // one where layers share it
  std::vector<float> positions;  // [length, D], learned positions only
  ops::Norm embed_norm;          // where the config has one
  ops::Norm norm_final;          // not of post-norm networks
  ops::Packed head_dense;        // the head's transform
  ops::Norm head_norm;
  ops::Packed head;
  ops::Packed time_in, time_out, ada_final;  // time conditioning: 256 -> cond -> cond, cond -> [2 D] (shift, scale)
  int64_t bytes() const;
  // Tells every layer which is multiplied after it. Once the weights stay where they are.
  void chain();
};

// Throws Error ("engine: ...") for a parameter that is missing, unknown, misshapen or not finite.
Weights make_weights(const Config& config, const Parameters& parameters, DType dtype);

}  // namespace pymdm::model
