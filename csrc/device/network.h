// The device's network for the samplers' loop on the CPU: logits stay on the device where a sampler only draws from
// them.
#pragma once

#include <memory>
#include <mutex>

#include "device/transformer.h"
#include "sample/network.h"

namespace pymdm::device {

// Logits in a tensor, drawn from where they are.
class TensorChooser : public sample::Chooser {
 public:
  void choose(const ops::ChooseArgs& args) override;
  // Points at the rows of `logits` [M, V], and keeps them until the next.
  sample::Logits hold(const at::Tensor& logits);
  // The same rows in the CPU's memory.
  sample::Logits on_host();

 private:
  at::Tensor logits_, host_;
};

class Network : public sample::Network {
 public:
  Network(const model::Config& config, const model::Parameters& parameters, DType dtype, const at::Device& device);

  // Rows stay on the device, in this network's memory, until its next call: one run at a time.
  sample::Logits logits(const model::Batch& batch) override;
  sample::Logits on_host(const sample::Logits&) override { return chooser_.on_host(); }
  // float32 [M, V] on the device, the caller's own.
  at::Tensor score(const model::Batch& batch);

  const Transformer& transformer() const { return transformer_; }
  int64_t workspace_bytes();
  void poison();

 private:
  Transformer transformer_;
  std::mutex mutex_;  // one forward at a time: they share the workspace
  Workspace workspace_;
  TensorChooser chooser_;
};

}  // namespace pymdm::device
