// The denoiser is a transformer over a packed ragged batch that gives the logits of chosen rows only. It is
// deterministic: a row's logits are the same bits whatever batch, row choice, chunk or number of threads computes them.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/denoiser.h"
#include "model/layout.h"
#include "model/weights.h"
#include "model/workspace.h"

namespace pymdm::model {

class Transformer {
 public:
  // Stays where it is: its layers know each other.
  Transformer(const Transformer&) = delete;
  Transformer(const Config& config, const Parameters& parameters, DType dtype)
      : config_(config),
        dtype_(dtype),
        weights_(make_weights(config, parameters, dtype)),
        rotary_(config.learned_positions
                    ? ops::no_rotary(config.length, config.head_dim)
                    : ops::rotary(config.length, config.head_dim, config.rope_base, {config.yarn, config.yarn_length})),
        local_rotary_(config.window > 0 && !config.learned_positions
                          ? ops::rotary(config.length, config.head_dim, config.local_rope_base)
                          : ops::Rotary{}) {
    weights_.chain();
  }

  // logits [M, V] float32, rows `stride` elements apart. One call at a time. With a cache, of `batch.owner`, only what
  // it does not hold is computed; the logits are the same bits.
  void forward(const Batch& batch, float* logits, int64_t stride, Cache* cache = nullptr);

  const Config& config() const { return config_; }
  DType dtype() const { return dtype_; }
  int64_t weight_bytes() const { return weights_.bytes(); }
  Workspace& workspace() { return workspace_; }

 private:
  struct Rows;
  void block(int64_t layer, const Rows& queries, const ops::KeyValues& kv);
  void embed(const Batch& batch);

  Config config_;
  DType dtype_;
  Weights weights_;
  ops::Rotary rotary_, local_rotary_;
  Layout layout_;
  Workspace workspace_;
};

}  // namespace pymdm::model
