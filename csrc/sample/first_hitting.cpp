#include "sample/first_hitting.h"

#include "sample/hits.h"

namespace pymdm::sample {

void FirstHitting::plan(const State& state, int64_t b, Plan& plan) const {
  const std::vector<Hit> hits = next_hits(state, b, tokens_of_call(tokens_per_call_, state.nfe[b]), *schedule_, block_);
  for (const Hit& hit : hits) plan.add_row(hit.position, hit.event, hit.time);
  // The network sees the time of the first event: exact for a time-conditioned network with one token a call.
  const double masked = masked_after(state, b, {hits.data(), static_cast<int64_t>(hits.size())}, block_);
  plan.add_sequence(b, true, hits.front().time, masked, hits.back().event + 1);
}

}  // namespace pymdm::sample
