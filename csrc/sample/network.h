// A network, as the samplers see it: anything that gives logits for chosen rows of a packed ragged batch.
#pragma once

#include <cstdint>

#include "core/types.h"
#include "model/denoiser.h"

namespace pymdm::sample {

// Rows stay valid until the next call of the network that gave them.
struct Logits {
  const void* data = nullptr;  // [M, vocab], rows `stride` elements apart
  DType dtype = DType::kFloat32;
  int64_t vocab = 0, stride = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  virtual Logits logits(const model::Batch& batch) = 0;
};

}  // namespace pymdm::sample
