// The native network as Python holds it: locked, timed, and alive as long as its weights are needed.
#pragma once

#include <pybind11/typing.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "binding/tensor.h"
#include "core/fork_lock.h"
#include "model/transformer.h"
#include "sample/network.h"

namespace pymdm::binding {

// A list of tensors is one parameter, joined from them by rows.
using NamedTensors =
    pybind11::typing::Dict<pybind11::str, pybind11::typing::Union<at::Tensor, pybind11::typing::List<at::Tensor>>>;

// What a network is made of, as Python gives it, checked. Of a list of tensors the name stands several times, in order.
model::Config config_of(const pybind11::dict& d);
std::vector<std::pair<std::string, at::Tensor>> named_tensors(const NamedTensors& weights);
model::Parameters parameters_of(const std::vector<std::pair<std::string, at::Tensor>>& weights);
DType network_dtype(const std::string& name);  // float32 or bfloat16

// Logits [M, V] of a batch that Python gives as tensors on the cpu, without the GIL.
template <class Network>
at::Tensor score(Network& network, const at::Tensor& tokens, const at::Tensor& offsets, const at::Tensor& rows,
                 const at::Tensor& times, const std::optional<at::Tensor>& rank,
                 const std::optional<at::Tensor>& owner) {
  const at::Tensor t = cpu_tensor("engine", "tokens", tokens, at::kLong, 1);
  const at::Tensor o = cpu_tensor("engine", "offsets", offsets, at::kLong, 1);
  const at::Tensor r = cpu_tensor("engine", "rows", rows, at::kLong, 1);
  const at::Tensor s = cpu_tensor("engine", "times", times, at::kDouble, 1);
  const auto numbers = [](const char* name, const std::optional<at::Tensor>& x) {
    return x ? cpu_tensor("engine", name, *x, at::kLong, 1) : at::empty({0}, at::kLong);
  };
  const at::Tensor when = numbers("rank", rank), whose = numbers("owner", owner);
  pybind11::gil_scoped_release release;
  return network.score({span_of<int64_t>(t), span_of<int64_t>(o), span_of<int64_t>(r), span_of<double>(s),
                        span_of<int64_t>(when), span_of<int64_t>(whose)});
}

class Engine : public sample::Network {
 public:
  // `weights` keep their memory alive: the embedding is read where it is.
  Engine(const model::Config& config, std::vector<std::pair<std::string, at::Tensor>> weights, DType dtype);

  // For the samplers' loop: the rows live until this thread's next call.
  sample::Logits logits(const Batch& batch) override;
  sample::Logits logits(const Batch& batch, model::Cache* cache);
  at::Tensor score(const Batch& batch);

  model::Transformer& network() { return *network_; }
  int64_t workspace_bytes();
  double forward_seconds();  // spent in forwards since the engine was made
  void poison();

 private:
  // With the lock held.
  void forward(const Batch& batch, float* logits, int64_t stride, model::Cache* cache);

  at::Tensor embed_;
  std::unique_ptr<model::Transformer> network_;
  double seconds_ = 0;
  ForkLock mutex_;  // one forward at a time: they share the workspace
  std::map<std::thread::id, ops::Buffer> outputs_;
};

// One run of the samplers' loop on a network that keeps what it has seen. A causal network reads the mask as the start,
// then each token one place later, and so never sees a mask.
class KeptRun : public sample::Network {
 public:
  explicit KeptRun(std::shared_ptr<Engine> engine);

  sample::Logits logits(const Batch& batch) override;
  at::Tensor score(const Batch& batch);  // for tests
  int64_t bytes() const { return cache_.bytes(); }
  bool keeps() const override { return true; }

 private:
  std::shared_ptr<Engine> engine_;
  model::Cache cache_;
  std::vector<int64_t> shifted_;  // inputs of a causal network
};

}  // namespace pymdm::binding
