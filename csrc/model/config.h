// The shape of a network; the same names as pymdm.network.config.ModelConfig.
#pragma once

#include <cstdint>

namespace pymdm::model {

enum class Conditioning { kNone, kConstant, kTime };
enum class Attention { kBidirectional, kCausal, kBlock, kAnyOrder };

struct Config {
  int64_t vocab_size = 0, mask_id = 0, length = 0, width = 0, layers = 0, heads = 0, kv_heads = 0, mlp_width = 0;
  bool layernorm = true;  // false: RMSNorm
  double norm_eps = 1e-5;
  bool swiglu = false;             // false: GELU
  bool gelu_erf = false;           // GELU by the error function; false: its tanh form
  bool post_norm = false;          // norms behind the residual sums, none before the head
  bool learned_positions = false;  // a vector added for each position; false: rotary
  bool embed_norm = false;
  bool head_transform = false;  // dense, GELU, norm before the head
  bool token_dropout = false;   // ESM-2: embeddings of masks are zero, others times 0.88 / (1 - share of masks)
  bool tied_head = false;
  double rope_base = 10000.0;
  bool logit_shift = false;
  Conditioning conditioning = Conditioning::kNone;
  bool sigma_input = false;  // the network sees sigma(t) = -log(1 - (1 - 0.001) t); false: t
  int64_t cond_dim = 0;
  Attention attention = Attention::kBidirectional;
  int64_t block_length = 0;  // of blocks
  bool norm_bias = false, qkv_bias = false, out_bias = false, mlp_bias = true, head_bias = true;

  bool causal() const { return attention == Attention::kCausal; }
  int64_t head_dim() const { return width / heads; }
  int64_t embed_rows() const { return vocab_size > mask_id ? vocab_size : mask_id + 1; }
};

}  // namespace pymdm::model
