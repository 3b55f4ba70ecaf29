// First-hitting sampler (Zheng et al., ICLR 2025, Proposition 4.1).
// Law: positions leave the mask in uniformly random order; token l ~ mu(x)[l] given the tokens x before it; times are
//   tau_{n-1} = alpha^{-1}(1 - u^{1/n} (1 - alpha(tau_n))).
// Exact with one token a call. Approximate (first order) with more: tokens
// of one call do not see each other. Times, order and noise addresses do not depend on the number of tokens a call.
// With blocks of K positions, taken from the left, the same process runs in each, with times from 1 to 0. K = 1 is left
// to right, K = L plain.
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
               ops::Noise noise = ops::Noise::kExact, int64_t block = 0)
      : Drawing(false, ahead, noise),
        schedule_(std::move(schedule)),
        tokens_per_call_(std::move(tokens_per_call)),
        block_(block) {}

  void plan(const State& state, int64_t b, Plan& plan) const override;

 private:
  std::shared_ptr<const Schedule> schedule_;
  std::vector<int64_t> tokens_per_call_;
  int64_t block_;  // K; 0 is one block
};

}  // namespace pymdm::sample
