// A call of choose from Python: tensors checked, and the operator's arguments that point into them.
#pragma once

#include <optional>

#include "binding/tensor.h"
#include "ops/choose.h"

namespace pymdm::binding {

struct ChooseCall {
  at::Tensor logits;                          // [M, V] with adjacent columns, on its device
  at::Tensor sequence, events, base, banned;  // [M] int64, [M] int32, [M] int64 or none, [V] bool or none; on the cpu
  at::Tensor token;                           // [M] int64 on the cpu, to be written
  ops::ChooseArgs args;

  ChooseCall(const at::Tensor& logits, uint64_t seed, const at::Tensor& sequence, const at::Tensor& event,
             const std::optional<at::Tensor>& base, int64_t purpose, double temperature,
             const std::optional<at::Tensor>& banned, int64_t top_k, double top_p);
};

}  // namespace pymdm::binding
