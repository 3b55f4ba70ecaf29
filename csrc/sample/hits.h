// Draws the positions and times at which the first-hitting process unmasks. They are a function of addresses alone, so
// every variant of the sampler has the same ones.
#pragma once

#include <cstdint>
#include <vector>

#include "core/types.h"
#include "sample/state.h"
#include "schedule/schedule.h"

namespace pymdm::sample {

struct Hit {
  int64_t position;  // within the sequence
  int64_t event;
  double time;    // tau of the event
  double masked;  // m = 1 - alpha(tau), of its block
};

// The next `count` events of sequence b (fewer if fewer positions are masked), earliest first; with blocks, of the
// first block of `block` positions that has a mask.
std::vector<Hit> next_hits(const State& state, int64_t b, int64_t count, const Schedule& schedule, int64_t block = 0);

// m = 1 - alpha after these events, the next of sequence b: that of the last, or 1 where they end a block and another
// one begins.
double masked_after(const State& state, int64_t b, Span<const Hit> hits, int64_t block);

// Tokens a call for call number 0, 1, ...: the last entry repeats.
inline int64_t tokens_of_call(const std::vector<int64_t>& tokens_per_call, int64_t call) {
  return call < static_cast<int64_t>(tokens_per_call.size()) ? tokens_per_call[call] : tokens_per_call.back();
}

}  // namespace pymdm::sample
