// Makes a Python callable a network of the samplers' loop.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/utils/pybind.h>

#include "device/network.h"

namespace pymdm::binding {

// Calls score(tokens [b, L] int64, times [b] float64, rows [m] int64 into b * L) -> logits [m, V], once per length that
// is in the batch; or, where the callable has a `pad_id`, once with shorter sequences padded by it at their ends, and
// lengths [b] int64 as a fourth argument. The Python side (pymdm/network/callable.py) turns any user's callable into
// this form and checks what it returns. Logits on a CUDA device stay there where the sampler only draws from them.
class CallableNetwork : public sample::Network {
 public:
  explicit CallableNetwork(pybind11::object score);
  ~CallableNetwork() override;

  sample::Logits logits(const Batch& batch) override;
  int64_t calls() const override { return calls_; }
  sample::Logits on_host(const sample::Logits& given) override;

 private:
  pybind11::object score_;
  int64_t calls_ = 0;  // for the logits at hand
  int64_t pad_ = -1;   // id that fills shorter sequences; -1: sequences go by length
  at::Tensor logits_;  // [M, V] kept until the next call
  device::TensorChooser chooser_;
};

}  // namespace pymdm::binding
