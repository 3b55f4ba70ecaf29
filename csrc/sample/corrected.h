// First-hitting sampler with several tokens a call and a corrector that costs no extra network call.
// Predictor: tokens of call j from mu_j, as in FirstHitting. Corrector: the output of call j + 1 at those same
// positions, mu'_{j+1}[l] (the conditional of token l given all other tokens), moves each token to q = (mu_j[l] +
// mu'_{j+1}[l]) / 2 by maximal coupling: keep x with probability min(1, q(x) / p(x)), else draw from (q - p)_+. Tokens
// of call j + 1 are drawn before the correction; later calls see the corrected tokens; the last call's tokens stay as
// predicted. Law (approximate, second order): if the interaction of two tokens has size e, a call's joint law is wrong
// by O(e^2), against O(e) without the corrector; proof in docs/samplers.md. Needs a network whose output at an unmasked
// position is that conditional, as masked language models trained with kept and replaced tokens have.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "sample/sampler.h"
#include "schedule/schedule.h"

namespace pymdm::sample {

class Corrected : public Sampler {
 public:
  Corrected(std::shared_ptr<const Schedule> schedule, std::vector<int64_t> tokens_per_call)
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
