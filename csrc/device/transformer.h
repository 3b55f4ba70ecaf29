// The denoiser on a device: the forward of model/transformer.h, with matrix products and attention by ATen and our
// kernels around them. Row results do not depend on the batch in exact arithmetic; in floating point the libraries may
// choose other kernels for other shapes, so equal bits across batches or devices are not promised.
#pragma once

#include <vector>

#include "device/layout.h"
#include "device/weights.h"

namespace pymdm::device {

// A batch on the device; M chosen rows, S query slots. Undefined index tensors are identities.
struct Inputs {
  at::Tensor tokens;              // [T] int64, packed
  at::Tensor position, sequence;  // [T] int32; sequence is read where the network sees the time
  at::Tensor rows;                // [M] int64
  at::Tensor slot_row, row_slot;  // [S], [M] int64
  at::Tensor place;               // [M] int64
  at::Tensor condition;           // [B, cond] float32, where the network sees the time
  std::vector<Group> groups;
};

// Memory of one forward, kept between forwards.
class Workspace {
 public:
  enum Slot {
    kX,
    kH,
    kQkv,
    kQ,
    kQueries,
    kO,
    kChosenO,
    kChosenX,
    kY,
    kHidden,
    kActive,
    kLast,
    kPlaced,
    kLogits,
    kSlots
  };
  at::Tensor take(Slot slot, at::IntArrayRef sizes, at::ScalarType type, const at::Device& device);
  void poison();  // fills the memory with NaN, for tests
  int64_t bytes() const;

 private:
  std::array<at::Tensor, kSlots> held_;
};

class Transformer {
 public:
  Transformer(const model::Config& config, const model::Parameters& parameters, DType dtype, const at::Device& device);

  // Logits [M, V] float32, in the workspace. Work is queued on the device's current stream; nothing waits for it.
  at::Tensor forward(const Inputs& in, Workspace& w) const;

  // The inputs of a batch in the CPU's memory, copied to the device.
  Inputs upload_batch(const Batch& batch) const;

  const model::Config& config() const { return config_; }
  const at::Device& device() const { return device_; }
  DType dtype() const { return dtype_; }
  int64_t weight_bytes() const { return weights_.bytes; }

  // Whether the product of the MLP's first layer adds the bias, as bfloat16, and applies GELU itself, which saves a
  // pass over [T, F]. Else a kernel of ours follows it. Networks with SwiGLU or without that bias take no notice.
  bool gelu_in_product() const { return gelu_in_product_; }
  void set_gelu_in_product(bool on) { gelu_in_product_ = on; }

 private:
  struct Pass;
  at::Tensor mods(const Linear& ada, const at::Tensor& condition) const;

  model::Config config_;
  DType dtype_;
  at::Device device_;
  Weights weights_;
  bool gelu_in_product_;
  std::vector<at::Tensor> constant_mods_;  // of each block, then of the end; where the conditioning is constant
};

}  // namespace pymdm::device
