// The native network as Python holds it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "binding/tensor.h"
#include "core/fork_lock.h"
#include "model/transformer.h"
#include "sample/network.h"

namespace pymdm::binding {

// What a network is made of, as Python gives it, checked. A parameter may be a list of tensors, which are joined by
// rows: its name then stands several times, in that order.
model::Config config_of(const pybind11::dict& d);
std::vector<std::pair<std::string, at::Tensor>> named_tensors(const pybind11::dict& weights);
model::Parameters parameters_of(const std::vector<std::pair<std::string, at::Tensor>>& weights);
DType network_dtype(const std::string& name);  // float32 or bfloat16

// Logits [M, V] of a batch that Python gives as tensors on the cpu, without the GIL.
template <class Network>
at::Tensor score(Network& network, const at::Tensor& tokens, const at::Tensor& offsets, const at::Tensor& rows,
                 const at::Tensor& times) {
  const at::Tensor t = cpu_tensor("engine", "tokens", tokens, at::kLong, 1);
  const at::Tensor o = cpu_tensor("engine", "offsets", offsets, at::kLong, 1);
  const at::Tensor r = cpu_tensor("engine", "rows", rows, at::kLong, 1);
  const at::Tensor s = cpu_tensor("engine", "times", times, at::kDouble, 1);
  pybind11::gil_scoped_release release;
  return network.score({span_of<int64_t>(t), span_of<int64_t>(o), span_of<int64_t>(r), span_of<double>(s)});
}

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
  ForkLock mutex_;  // one forward at a time: they share the workspace
  std::map<std::thread::id, ops::Buffer> outputs_;
};

}  // namespace pymdm::binding
