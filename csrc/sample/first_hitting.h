// First-hitting sampler (Zheng et al., ICLR 2025, Proposition 4.1).
// Law: positions leave the mask in uniformly random order; token l ~ mu(x)[l] given the tokens x before it; tau_{n-1} =
// alpha^{-1}(1 - u^{1/n} (1 - alpha(tau_n))).  Exact with one token a call. Approximate (first order) with more: tokens
// of one call do not see each other. Times, order and noise addresses do not depend on the number of tokens a call.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "ops/choose_emulated.h"
#include "sample/sampler.h"
#include "schedule/schedule.h"

namespace pymdm::sample {

class FirstHitting : public Sampler {
 public:
  // Noise other than exact is for measuring what it does.
  FirstHitting(std::shared_ptr<const Schedule> schedule, std::vector<int64_t> tokens_per_call,
               ops::Noise noise = ops::Noise::kExact)
      : schedule_(std::move(schedule)), tokens_per_call_(std::move(tokens_per_call)), noise_(noise) {}

  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;
  bool only_draws() const override { return noise_ == ops::Noise::kExact; }

 private:
  std::shared_ptr<const Schedule> schedule_;
  std::vector<int64_t> tokens_per_call_;
  ops::Noise noise_;
};

}  // namespace pymdm::sample
