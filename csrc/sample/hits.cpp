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

}  // namespace pymdm::sample
