#include "sample/hits.h"

#include <algorithm>

#include "sample/draw.h"
#include "schedule/hitting.h"
#include "schedule/position.h"

namespace pymdm::sample {

std::vector<Hit> next_hits(const State& state, int64_t b, int64_t count, const Schedule& schedule, int64_t block) {
  std::vector<int64_t> masked = masked_positions(state, b);
  if (block > 0 && !masked.empty())
    masked.erase(std::lower_bound(masked.begin(), masked.end(), (masked.front() / block + 1) * block), masked.end());
  std::vector<Hit> hits;
  double m = state.masked[b];
  int64_t event = state.event[b];
  for (int64_t n = static_cast<int64_t>(masked.size()); n > 0 && count > 0; --n, --count, ++event) {
    const auto e = static_cast<uint32_t>(event);
    m = next_masked_probability(m, n, state.seed, state.sequence[b], e);
    const auto rank = static_cast<int64_t>(uniform_integer(n, state.seed, state.sequence[b], e, Purpose::kPosition));
    hits.push_back({masked[rank], event, schedule.time_of_masked(m), m});
    masked.erase(masked.begin() + rank);
  }
  return hits;
}

double masked_after(const State& state, int64_t b, Span<const Hit> hits, int64_t block) {
  const Hit& last = hits[hits.size - 1];
  if (block == 0 || state.remaining[b] == hits.size) return last.masked;
  const int64_t begin = last.position / block * block, end = std::min(state.length(b), begin + block);
  for (int64_t l = begin; l < end; ++l)
    if (state.tokens[state.offsets[b] + l] == state.mask_id &&
        std::none_of(hits.begin(), hits.end(), [&](const Hit& hit) { return hit.position == l; }))
      return last.masked;
  return 1.0;
}

}  // namespace pymdm::sample
