// First-hitting sampler with several tokens a call, extrapolated from the two latest outputs (Zheng et al., ICLR 2025,
// section 4). Law (approximate): a token of call j >= 2 is drawn from mu_j + c (mu_j - mu_{j-1}), clipped at 0 and
// normalised, mu_j the network's output of call j after temperature, bans, top-k and top-p. With k_j tokens in call j,
//   c = min(1, sum_j k_j (k_j - 1) / 2 / sum_{j>=2} k_{j-1} k_j).
// To first order in the interaction of two tokens, and in a drift of mu along time, c makes what tokens of one call
// miss of each other equal to what neighbouring calls overstate, whatever the list of k_j; proof in docs/samplers.md. A
// ratio of this call's hitting times has that mean too, but an infinite one at k_{j-1} = 1.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "sample/sampler.h"
#include "schedule/schedule.h"

namespace pymdm::sample {

// c for a sequence of `free` positions; 0 where one call decides all.
double line_coefficient(const std::vector<int64_t>& tokens_per_call, int64_t free);

class Extrapolated : public Sampler {
 public:
  Extrapolated(std::shared_ptr<const Schedule> schedule, std::vector<int64_t> tokens_per_call)
      : schedule_(std::move(schedule)), tokens_per_call_(std::move(tokens_per_call)) {}

  void admit(const State& state, int64_t b) const override;
  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;
  bool from_rows() const override { return false; }

 private:
  std::shared_ptr<const Schedule> schedule_;
  std::vector<int64_t> tokens_per_call_;
};

}  // namespace pymdm::sample
