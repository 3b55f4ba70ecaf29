// First-hitting sampler with several tokens a call and extrapolation in time (Zheng et al., ICLR 2025, section 4).
// Law (approximate): token l, hit at tau within a call made at T, is drawn from mu_T + (T - tau) / (T' - T) (mu_T -
// mu_{T'}), clipped at 0 and normalised; T' > T is the time of the call before. Second order in the network's
// dependence on time. It does not make tokens of one call see each other: see docs/samplers.md for when that helps and
// when it hurts.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "sample/sampler.h"
#include "schedule/schedule.h"

namespace pymdm::sample {

class Extrapolated : public Sampler {
 public:
  Extrapolated(std::shared_ptr<const Schedule> schedule, std::vector<int64_t> tokens_per_call)
      : schedule_(std::move(schedule)), tokens_per_call_(std::move(tokens_per_call)) {}

  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;

 private:
  std::shared_ptr<const Schedule> schedule_;
  std::vector<int64_t> tokens_per_call_;
};

}  // namespace pymdm::sample
