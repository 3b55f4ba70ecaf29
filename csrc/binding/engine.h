// The native network as Python holds it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "binding/tensor.h"
#include "model/transformer.h"
#include "sample/network.h"

namespace pymdm::binding {

// What a network is made of, as Python gives it, checked.
model::Config config_of(const pybind11::dict& d);
std::vector<std::pair<std::string, at::Tensor>> named_tensors(const pybind11::dict& weights);
model::Parameters parameters_of(const std::vector<std::pair<std::string, at::Tensor>>& weights);

class Engine : public sample::Network {
 public:
  // `weights` keep their memory alive: the embedding is read where it is.
  Engine(const model::Config& config, std::vector<std::pair<std::string, at::Tensor>> weights, DType dtype);

  // For the samplers' loop: the rows live until this thread's next call.
  sample::Logits logits(const model::Batch& batch) override;
  at::Tensor score(const model::Batch& batch);

  model::Transformer& network() { return *network_; }
  int64_t workspace_bytes();
  double forward_seconds();  // spent in forwards since the engine was made
  void poison();

 private:
  void forward(const model::Batch& batch, float* logits, int64_t stride);  // with the lock held

  at::Tensor embed_;
  std::unique_ptr<model::Transformer> network_;
  double seconds_ = 0;
  std::mutex mutex_;  // one forward at a time: they share the workspace
  std::map<std::thread::id, ops::Buffer> outputs_;
};

}  // namespace pymdm::binding
