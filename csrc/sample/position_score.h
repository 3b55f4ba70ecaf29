// A function of the user's may score positions: a learned planner, a quality head.
#pragma once

#include <functional>
#include <vector>

#include "sample/sampler.h"

namespace pymdm::sample {

// Gives the scores [M] of the planned rows, never NaN, of sequences in which every position has a row; those of other
// sequences mean nothing. `tokens` [T] is what the function sees of the state.
using PositionScore = std::function<std::vector<double>(const State& state, const Plan& plan, const Logits& logits,
                                                        const std::vector<int64_t>& tokens)>;

// Adds rows, only to be read, for the positions of sequence b that have none among the plan's rows from `first` on.
void add_other_rows(const State& state, int64_t b, int64_t first, Plan& plan);

}  // namespace pymdm::sample
