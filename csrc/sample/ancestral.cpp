#include "sample/ancestral.h"

#include "core/error.h"
#include "random/gumbel.h"
#include "sample/draw.h"

namespace pymdm::sample {

void Ancestral::plan(const State& state, int64_t b, Plan& plan) const {
  const std::vector<int64_t> masked = masked_positions(state, b);
  check(state.event[b] < static_cast<int64_t>(grid_.size()) - 1, "sample", "sequence ", b, " is at step ",
        state.event[b], " of a grid of ", grid_.size() - 1);
  for (int64_t step = state.event[b];; ++step) {
    // In the last step m(s) = 0, so that everything moves and this loop ends.
    const double leave = (grid_[step] - grid_[step + 1]) / grid_[step];
    bool any = false;
    for (const int64_t l : masked) {
      const uint64_t r = random_bits(state.seed, state.sequence[b], static_cast<uint32_t>(step), Purpose::kMove, l);
      if (leave < 1 && uniform_lower(r) >= leave) continue;
      plan.add_row(l, step, times_[step + 1]);
      any = true;
    }
    if (!any && cache_) continue;
    plan.add_sequence(b, true, times_[step], grid_[step + 1], step + 1);
    return;
  }
}

}  // namespace pymdm::sample
