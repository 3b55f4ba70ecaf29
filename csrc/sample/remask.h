// Ancestral sampling that may mask drawn tokens again (ReMDM: Wang et al., arXiv 2503.00307), choose-then-sample form.
// Law: in the step from level m to s, given the tokens x before it and independently for every position, a drawn token
// is masked again with probability sigma, and a masked one leaves with probability (m - s + sigma (1 - m)) / m for a
// token from mu(x)[l]; 0 <= sigma <= min(1, s / (1 - m)). Approximate: if mu are the true conditionals of a law and
// each token was masked with probability m, each is masked with probability s afterwards and every position's own law
// is kept; the joint law is kept too as far as steps in which at most one token leaves go (docs/samplers.md). Confident
// form: the sigma of a drawn token is the step's times its share exp(-p_l) / sum exp(-p), p_l the probability it was
// drawn with, and 0 in the formula for masked ones; the levels are then not kept. Scored form: as many drawn tokens are
// masked again as in the plain form, those with the lowest scores, of equal ones the plain form's first.
#pragma once

#include <utility>
#include <vector>

#include "sample/drawing.h"
#include "sample/position_score.h"

namespace pymdm::sample {

class Remask : public Drawing {
 public:
  // Times [N + 1] the network sees, levels m [N + 1] from 1 to 0, sigma [N]. The last level 0 makes every mask leave.
  Remask(std::vector<double> times, std::vector<double> levels, std::vector<double> sigma, bool confident,
         Ahead ahead = {}, PositionScore score = {})
      : Drawing(true, ahead, ops::Noise::kExact),
        times_(std::move(times)),
        levels_(std::move(levels)),
        sigma_(std::move(sigma)),
        confident_(confident),
        score_(std::move(score)) {}

  // Without a mask there may be steps left that mask again; without a free position there are none.
  bool finished(const State& state, int64_t b) const override;
  void admit(const State& state, int64_t b) const override;
  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;
  void place(State& state, const Plan& plan, const int64_t* tokens) const override;
  bool only_draws() const override { return false; }
  // With a look at logits or scores a step's masks depend on more than addresses.
  const Drawing* drawing() const override { return confident_ || score_ ? nullptr : this; }

 private:
  std::vector<int64_t> masked_again(const State& state, int64_t b) const;
  void place(State& state, const Plan& plan, const int64_t* tokens, const double* sure, const double* scores) const;
  std::vector<int64_t> worst(const State& state, int64_t b, size_t count, const std::vector<double>& scores) const;

  std::vector<double> times_, levels_, sigma_;
  bool confident_;
  PositionScore score_;
};

}  // namespace pymdm::sample
