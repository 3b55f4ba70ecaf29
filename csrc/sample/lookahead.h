// Lookahead gives the tokens of a sampler that only draws in fewer rounds of network calls.
// A run is a deterministic function of the noise, so later tokens can be guessed and the guesses checked. With mu of
// what is known at hand, the next step's tokens are right, and those of the steps after it are guessed from the same mu
// under their own noise. The next round scores copies of the sequence, copy j with the guesses of the first j steps
// filled in; copy j's own tokens are right if all guesses before it were, and the first wrong one still gives a right
// token. So tokens, order and times are bit for bit those of the sampler alone, for any network whose rows do not
// depend on the batch; for others the law still is.
#pragma once

#include <chrono>
#include <vector>

#include "sample/drawing.h"
#include "sample/window.h"

namespace pymdm::sample {

class Lookahead {
 public:
  // `rows_cost`: whether a row that is asked for costs more than its share of the head.
  Lookahead(const Drawing& sampler, bool rows_cost)
      : sampler_(sampler), rows_cost_(rows_cost), windows_(sampler.ahead()) {}

  // Copies of the sequences, with guesses filled in: each asks for the rows of its own step, then for those it guesses
  // from.
  // Steps that ask the network nothing are taken at once.
  void plan(State& state, const std::vector<int64_t>& sequences, Plan& plan);
  // Draws, takes what is right, guesses anew from the last right copy.
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options);

 private:
  struct Group {
    int64_t first, width;  // planned copies of one sequence
  };

  // A step that asks the network, and what is masked after it, and after the steps behind it that do not ask, of what
  // was known before or drawn in it.
  struct Step {
    Plan plan;
    std::vector<int64_t> masked_again;
  };

  void pass_silent(State& state, int64_t b) const;
  std::vector<Step> steps(const State& state, int64_t b) const;
  Prospect prospect(const State& state, int64_t b, const std::vector<Step>& steps) const;
  int64_t depth_of(int64_t copy, int64_t width, int64_t depth) const;
  void fail_bad(State& state, const Plan& step, int64_t begin, const Logits& logits, const Options& options) const;
  void guess(State& state, const Plan& plan, int64_t i, const int64_t* tokens, const Logits& logits,
             const Options& options) const;

  const Drawing& sampler_;
  const bool rows_cost_;
  Windows windows_;
  double hits_ = 3, guessed_ = 4;  // steps whose guesses were right, and all, on top of a prior
  std::vector<Group> groups_;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace pymdm::sample
