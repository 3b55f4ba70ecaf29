// First-hitting samplers that take several tokens a call and correct to second order, without a further network call.
// Below, mu_j is the network's output of call j after temperature, bans, top-k and top-p.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "sample/sampler.h"
#include "schedule/schedule.h"

namespace pymdm::sample {

class SecondOrder : public Sampler {
 public:
  SecondOrder(std::shared_ptr<const Schedule> schedule, std::vector<int64_t> tokens_per_call)
      : schedule_(std::move(schedule)), tokens_per_call_(std::move(tokens_per_call)) {}

  bool from_rows() const final { return false; }

 protected:
  std::shared_ptr<const Schedule> schedule_;
  std::vector<int64_t> tokens_per_call_;
};

// Extrapolates from the two latest outputs (Zheng et al., ICLR 2025, section 4). Law (approximate): a token of call
// j >= 2 is drawn from
//   mu_j + c (mu_j - mu_{j-1}),
// clipped at 0 and normalised. With k_j tokens in call j,
//   c = min(1, sum_j k_j (k_j - 1) / 2 / sum_{j>=2} k_{j-1} k_j).
// To first order in the interaction of two tokens, and in a drift of mu along time, c makes what tokens of one call
// miss of each other equal to what neighbouring calls overstate, whatever the list of k_j; proof in docs/samplers.md. A
// ratio of this call's hitting times has that mean too, but an infinite one at k_{j-1} = 1. With blocks from the left,
// as FirstHitting takes them, this holds in each: its first call has no earlier output, and c is that of its own calls.
class Extrapolated final : public SecondOrder {
 public:
  Extrapolated(std::shared_ptr<const Schedule> schedule, std::vector<int64_t> tokens_per_call, int64_t block = 0)
      : SecondOrder(std::move(schedule), std::move(tokens_per_call)), block_(block) {}

  void admit(const State& state, int64_t b) const override;
  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;

 private:
  double coefficient(const State& state, int64_t b, int64_t position) const;

  int64_t block_;  // K; 0 is one block
};

// c for `free` positions; 0 where one call decides all.
double line_coefficient(const std::vector<int64_t>& tokens_per_call, int64_t free);

// Predicts the tokens of call j from mu_j, as FirstHitting does, and corrects them by the output of call j + 1 at those
// same positions, mu'_{j+1}[l], the conditional of token l given all other tokens. Each token moves to
//   q = (mu_j[l] + mu'_{j+1}[l]) / 2
// by maximal coupling: it stays with probability min(1, q(x) / p(x)), p = mu_j[l], else it is drawn from (q - p)_+.
// Tokens of call j + 1 are drawn before the correction; later calls see the corrected tokens; the last call's tokens
// stay as predicted. Law (approximate, second order): if the interaction of two tokens has size e, a call's joint law
// is wrong by O(e^2), against O(e) without the corrector; proof in docs/samplers.md. Needs a network whose output at an
// unmasked position is that conditional, as masked language models trained with kept and replaced tokens have.
class Corrected final : public SecondOrder {
 public:
  using SecondOrder::SecondOrder;

  void admit(const State& state, int64_t b) const override;
  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;
};

}  // namespace pymdm::sample
