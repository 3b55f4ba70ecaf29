// Ancestral sampling as published code does it: the mask is one of V + 1 classes of one draw.
// Law in exact arithmetic: that of Ancestral (sample/ancestral.h). With coarse noise the truncated Gumbel distorts it
// (Zheng et al., ICLR 2025, Proposition 5.2): fewer unmaskings, and a lower temperature. It is there to measure
// that defect, never a default.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "ops/choose_emulated.h"
#include "sample/sampler.h"

namespace pymdm::sample {

class Literal : public Sampler {
 public:
  // Grid as in Ancestral. With `cache` a sequence's network output is used until one of its tokens changes (right for
  // time-free networks only), else the network is called at every step.
  Literal(std::vector<double> times, std::vector<double> grid, bool cache, ops::Noise noise)
      : times_(std::move(times)), grid_(std::move(grid)), cache_(cache), noise_(noise) {}

  void admit(const State& state, int64_t b) const override;
  void plan(const State& state, int64_t b, Plan& plan) const override;
  void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const override;
  bool from_rows() const override { return false; }

 private:
  struct Row {
    int64_t sequence;  // of the state
    int64_t kept;      // row of its kept output
    int64_t asked;     // row of the network's answer, -1 if it is in the kept output already
  };
  std::vector<int64_t> draw_classes(State& state, const std::vector<Row>& rows, int64_t vocab) const;

  std::vector<double> times_, grid_;
  bool cache_;
  ops::Noise noise_;
};

}  // namespace pymdm::sample
