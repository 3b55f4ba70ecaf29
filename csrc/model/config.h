// The shape of a network. Names are those of pymdm.network.config.ModelConfig.
#pragma once

#include <cstdint>

namespace pymdm::model {

enum class Conditioning { kNone, kConstant, kTime };
enum class Attention { kBidirectional, kCausal, kBlock, kAnyOrder };

struct Config {
  int64_t vocab_size = 0, mask_id = 0, length = 0, width = 0, layers = 0, heads = 0, kv_heads = 0, mlp_width = 0;
  int64_t head_dim = 0;    // of one attention head; heads * head_dim need not be the width
  int64_t embed_dim = 0;   // columns of the embedding; where they are not the width, a layer brings them to it
  int64_t window = 0;      // local blocks attend to |i - j| <= window; 0: every block sees everything
  int64_t full_every = 1;  // with a window, blocks 0, full_every, 2 full_every, ... see everything
  bool layernorm = true;   // false: RMSNorm
  double norm_eps = 1e-5;
  bool gated = false;              // SwiGLU, or GELU(gate) * up where gelu_erf is set; false: GELU
  bool gelu_erf = false;           // GELU by the error function; false: its tanh form
  bool qk_norm = false;            // queries and keys are normed before their rotation, without a bias:
  bool qk_norm_whole = false;      // over all their heads at once (ESM-C); false: head by head (Qwen3)
  bool first_norm = true;          // false: block 0 has no norm before its attention (ModernBERT)
  bool shared_layers = false;      // every layer has the parameters of block 0 (ALBERT)
  bool post_norm = false;          // norms behind the residual sums, none before the head
  bool learned_positions = false;  // a vector added for each position; false: rotary
  bool embed_norm = false;
  bool head_transform = false;  // dense, GELU, norm before the head
  bool token_dropout = false;   // ESM-2: embeddings of masks are zero, others times 0.88 / (1 - share of masks)
  bool tied_head = false;
  double rope_base = 10000.0;
  double local_rope_base = 10000.0;  // of local blocks
  bool logit_shift = false;
  Conditioning conditioning = Conditioning::kNone;
  bool sigma_input = false;  // the network sees sigma(t) = -log(1 - (1 - 0.001) t); false: t
  int64_t cond_dim = 0;
  Attention attention = Attention::kBidirectional;
  int64_t block_length = 0;     // of blocks
  bool causal_context = false;  // of blocks: where a block has no mask its rows see up to their own position only
  double yarn = 1.0;            // factor of YaRN's scaled rotary positions; 1: plain ones
  int64_t yarn_length = 0;      // positions before the scaling
  bool norm_bias = false, qkv_bias = false, out_bias = false, mlp_bias = true, head_bias = true;

  bool causal() const { return attention == Attention::kCausal; }
  int64_t blocks() const { return shared_layers ? 1 : layers; }
  bool local(int64_t layer) const { return window > 0 && layer % full_every != 0; }
  bool head_erf() const { return gated || gelu_erf; }  // GELU of the head's transform
  int64_t embed_rows() const { return vocab_size > mask_id ? vocab_size : mask_id + 1; }
};

}  // namespace pymdm::model
