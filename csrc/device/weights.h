// Holds a network's parameters on a device: matrices of the network's type, vectors and everything of adaLN in float32.
#pragma once

#include <vector>

#include "device/tensors.h"
#include "model/config.h"
#include "model/parameters.h"

namespace pymdm::device {

struct Linear {
  at::Tensor weight;  // [out, in]
  at::Tensor bias;    // [out] float32, undefined where the layer has none; our kernels add it, not the product
};

struct Norm {
  at::Tensor weight, bias;  // [D] float32; bias may be undefined
};

struct Block {
  Norm norm1, norm2;
  Linear qkv;    // [(H + 2 G) hd, D]
  Linear q, kv;  // its first H hd rows, and the rest
  Linear out, mlp_in, mlp_out;
  at::Tensor mlp_in_bias;  // of the network's type, where the product may add it: GELU networks with a bias
  Linear ada;              // float32 [6 D, cond]: shift1, scale1, gate1, shift2, scale2, gate2
};

struct Weights {
  at::Tensor embed;  // [E, D] float32 or bfloat16, as it is stored
  std::vector<Block> blocks;
  Norm norm_final;
  Linear head;              // float32 [V, D]: logits are float32
  Linear ada_final;         // float32 [2 D, cond]
  model::TimeNetwork time;  // on the CPU; empty without adaLN
  at::Tensor cos, sin;      // [length, hd / 2]
  int64_t bytes = 0;
};

// Throws Error ("engine: ...") for a parameter that is missing, unknown, misshapen or not finite.
Weights make_weights(const model::Config& config, const model::Parameters& parameters, DType dtype,
                     const at::Device& device);

}  // namespace pymdm::device
