// Checks the tensors of a call of choose from Python and makes the operator's arguments, which point into them.
#pragma once

#include <optional>
#include <vector>

#include "binding/tensor.h"
#include "ops/choose.h"

namespace pymdm::binding {

// For each row the ids that may be drawn, none for all of them; or nothing.
using AllowedIds = std::optional<std::vector<std::optional<std::vector<int64_t>>>>;

struct ChooseCall {
  at::Tensor logits;                          // [M, V] with adjacent columns, on its device
  at::Tensor sequence, events, base, banned;  // [M] int64, [M] int32, [M] int64 or none, [V] bool or none; on the cpu
  at::Tensor token;                           // [M] int64 on the cpu, to be written
  std::vector<std::vector<int64_t>> ids;      // [M] or none, in order
  std::vector<ops::TokenSet> sets;            // [M] or none, into ids
  ops::ChooseArgs args;

  ChooseCall(const at::Tensor& logits, uint64_t seed, const at::Tensor& sequence, const at::Tensor& event,
             const std::optional<at::Tensor>& base, int64_t purpose, double temperature,
             const std::optional<at::Tensor>& banned, int64_t top_k, double top_p, const AllowedIds& allowed);
  ChooseCall(const ChooseCall&) = delete;
};

}  // namespace pymdm::binding
