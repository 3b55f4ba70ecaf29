#include "sample/first_hitting.h"

#include <algorithm>

#include "sample/hits.h"

namespace pymdm::sample {

void FirstHitting::plan(const State& state, int64_t b, Plan& plan) const {
  const std::vector<Hit> hits = next_hits(state, b, tokens_of_call(tokens_per_call_, state.nfe[b]), *schedule_, block_);
  for (const Hit& hit : hits) plan.add_row(hit.position, hit.event, hit.time);
  // The network sees the time of the first event: exact for a time-conditioned network with one token a call.
  const int64_t last = hits.back().position / std::max<int64_t>(block_, 1);
  const auto left = static_cast<size_t>(state.remaining[b]) - hits.size();
  bool block_ends = block_ > 0 && left > 0;  // then the next one begins at m = 1
  for (int64_t i = last * block_; block_ends && i < std::min(state.length(b), (last + 1) * block_); ++i)
    block_ends = state.tokens[state.offsets[b] + i] != state.mask_id ||
                 std::any_of(hits.begin(), hits.end(), [&](const Hit& hit) { return hit.position == i; });
  plan.add_sequence(b, true, hits.front().time, block_ends ? 1.0 : hits.back().masked, hits.back().event + 1);
}

}  // namespace pymdm::sample
