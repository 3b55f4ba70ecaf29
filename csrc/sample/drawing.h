// A sampler that only draws decides by addresses and by which positions are masked, never by a token, which rows a step
// plans, when, and which drawn tokens it masks again; its tokens come from one Gumbel-max a row. Such a run is a
// deterministic function of the noise, so guesses of later tokens can be checked against it (lookahead.h).
#pragma once

#include <vector>

#include "ops/choose_emulated.h"
#include "sample/sampler.h"
#include "sample/window.h"

namespace pymdm::sample {

class Drawing : public Sampler {
 public:
  // Noise other than exact is for measuring what it does.
  Drawing(bool several_positions, Ahead ahead, ops::Noise noise)
      : several_positions_(several_positions), ahead_(ahead), noise_(noise) {}

  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;
  bool only_draws() const override { return noise_ == ops::Noise::kExact; }
  bool from_rows() const override { return noise_ == ops::Noise::kExact; }
  const Drawing* drawing() const override { return this; }

  // The planned rows' tokens; with `mark_bad` a row that cannot be drawn from gets -1, else it is an error.
  std::vector<int64_t> tokens(State& state, const Plan& plan, const Logits& logits, const Options& options,
                              bool mark_bad) const;
  // Puts the planned rows' tokens [M] into the state, and masks again what the step masks again.
  virtual void place(State& state, const Plan& plan, const int64_t* tokens) const;

  // Whether an event decides several positions, each with its own stretch of the event's random numbers.
  bool several_positions() const { return several_positions_; }
  const Ahead& ahead() const { return ahead_; }

 private:
  bool several_positions_;
  Ahead ahead_;
  ops::Noise noise_;
};

}  // namespace pymdm::sample
