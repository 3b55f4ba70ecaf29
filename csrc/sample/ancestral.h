// Ancestral sampling on a time grid 1 = t_0 > ... > t_N = 0, choose-then-sample form.
// Law: in the step from t to s every masked token leaves the mask with probability (m(t) - m(s)) / m(t), independently;
// a token that leaves is drawn from mu(x_t, t)[l]. This is the law of the published sampler in exact arithmetic;
// approximate for the continuous-time process, exact as N -> infinity. Which tokens move does not depend on the
// network, so a step in which none moves needs no network call: expected calls N (1 - (1 - 1/N)^(B L)) at the linear
// schedule if the batch is one sequence of B L.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "sample/drawing.h"
#include "schedule/schedule.h"

namespace pymdm::sample {

class Ancestral : public Drawing {
 public:
  // `grid` holds m(t_0) = 1, ..., m(t_N) = 0, and `times` t_0 .. t_N. With `cache` false the network is called at every
  // step.
  Ancestral(std::vector<double> times, std::vector<double> grid, bool cache, Ahead ahead = {})
      : Drawing(true, ahead, ops::Noise::kExact), times_(std::move(times)), grid_(std::move(grid)), cache_(cache) {}

  void plan(const State& state, int64_t b, Plan& plan) const override;

 private:
  std::vector<double> times_, grid_;
  bool cache_;
};

}  // namespace pymdm::sample
