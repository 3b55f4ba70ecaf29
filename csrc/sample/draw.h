// Steps that samplers share: draw the planned rows' tokens, write them, count.
#pragma once

#include <vector>

#include "random/address.h"
#include "sample/sampler.h"

namespace pymdm::sample {

// One token per planned row, at the address (seed, sequence id, events[row], purpose, v).
std::vector<int64_t> draw_rows(const State& state, const Plan& plan, const Logits& logits, const Options& options,
                               Purpose purpose);

// Writes token, time and rank of unmasking of one planned row.
void unmask(State& state, int64_t b, int64_t position, int64_t token, double time);

// Positions of sequence b that are masked, from the left.
std::vector<int64_t> masked_positions(const State& state, int64_t b);

// Resets what every sampler starts from: m = 1, event 0, no times, counts of masked positions.
void start(State& state);

}  // namespace pymdm::sample
