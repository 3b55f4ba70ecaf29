// A network, as the samplers see it: anything that gives logits for chosen rows of a packed ragged batch.
#pragma once

#include <cstdint>

#include "core/batch.h"
#include "core/types.h"
#include "ops/choose.h"

namespace pymdm::sample {

// Draws from logits that are not in the CPU's memory: `args.logits` is not read, the other pointers are the CPU's.
class Chooser {
 public:
  virtual ~Chooser() = default;
  virtual void choose(const ops::ChooseArgs& args) = 0;
};

// Rows stay valid until the next call of the network that gave them.
struct Logits {
  const void* data = nullptr;  // [M, vocab], rows `stride` elements apart
  DType dtype = DType::kFloat32;
  int64_t vocab = 0, stride = 0;
  // Set where `data` is a device's: only the chooser can draw from the rows, and nobody can read them.
  Chooser* chooser = nullptr;
  const ops::TokenSet* allowed = nullptr;  // [M] what the rows' positions allow, or null: all tokens
};

class Network {
 public:
  virtual ~Network() = default;
  virtual Logits logits(const Batch& batch) = 0;
  // How often the network was called for the rows just given: a callable, once for every length in the batch.
  virtual int64_t calls() const { return 1; }
  // Whether a call computes few rows more than are asked for, so that each row asked for costs.
  virtual bool keeps() const { return false; }
  // The rows just given, in the CPU's memory.
  virtual Logits on_host(const Logits& logits) { return logits; }
};

}  // namespace pymdm::sample
