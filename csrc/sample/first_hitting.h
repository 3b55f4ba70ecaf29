// First-hitting sampler (Zheng et al., ICLR 2025, Proposition 4.1).
// Law: positions leave the mask in uniformly random order; token l ~ mu(x)[l] given the tokens x before it; tau_{n-1} =
// alpha^{-1}(1 - u^{1/n} (1 - alpha(tau_n))).  Exact with one token a call. Approximate (first order) with more: tokens
// of one call do not see each other. Times, order and noise addresses do not depend on the number of tokens a call.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "sample/drawing.h"
#include "schedule/schedule.h"

namespace pymdm::sample {

class FirstHitting : public Drawing {
 public:
  FirstHitting(std::shared_ptr<const Schedule> schedule, std::vector<int64_t> tokens_per_call, Ahead ahead = {},
               ops::Noise noise = ops::Noise::kExact)
      : Drawing(false, ahead, noise), schedule_(std::move(schedule)), tokens_per_call_(std::move(tokens_per_call)) {}

  void plan(const State& state, int64_t b, Plan& plan) const override;

 private:
  std::shared_ptr<const Schedule> schedule_;
  std::vector<int64_t> tokens_per_call_;
};

}  // namespace pymdm::sample
