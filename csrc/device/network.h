// Gives a device's network to the samplers' loop on the CPU. Logits stay on the device where a sampler only draws from
// them.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

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

// The network as several runs share it: weights, and the memory of runs that have ended, for those to come. Safe to use
// from several threads.
class Network {
 public:
  Network(const model::Config& config, const model::Parameters& parameters, DType dtype, const at::Device& device);

  // float32 [M, V] on the device, the caller's own.
  at::Tensor score(const Batch& batch);

  const Transformer& transformer() const { return transformer_; }
  Transformer& transformer() { return transformer_; }
  int64_t workspace_bytes();  // of the memory that no run holds at the moment
  void poison();

  // A forward's memory for one run at a time. Work that was queued on it may not be over yet, so what comes back from a
  // stream serves that stream alone.
  struct Memory {
    void* stream = nullptr;
    Workspace workspace;
  };
  std::unique_ptr<Memory> borrow();
  void give_back(std::unique_ptr<Memory> memory);

 private:
  Transformer transformer_;
  std::mutex mutex_;  // of idle_
  std::vector<std::unique_ptr<Memory>> idle_;
};

// One run of the samplers' loop on the CPU: rows stay on the device, in this run's memory, until its next call.
class Run : public sample::Network {
 public:
  explicit Run(std::shared_ptr<device::Network> network);
  ~Run() override;

  sample::Logits logits(const Batch& batch) override;
  sample::Logits on_host(const sample::Logits&) override { return chooser_.on_host(); }

 private:
  std::shared_ptr<device::Network> network_;
  std::unique_ptr<device::Network::Memory> memory_;
  TensorChooser chooser_;
};

}  // namespace pymdm::device
