#include "sample/first_hitting.h"

#include <algorithm>

#include "sample/draw.h"
#include "schedule/hitting.h"
#include "schedule/position.h"

namespace pymdm::sample {

void FirstHitting::init(State& state) const { start(state); }

void FirstHitting::plan(const State& state, int64_t b, Plan& plan) const {
  const uint64_t sequence = state.sequence[b];
  std::vector<int64_t> masked = masked_positions(state, b);
  double m = state.masked[b];
  int64_t event = state.event[b];
  const int64_t events = std::min<int64_t>(tokens_per_call_, static_cast<int64_t>(masked.size()));
  for (int64_t k = 0; k < events; ++k, ++event) {
    const int64_t n = static_cast<int64_t>(masked.size());
    m = next_masked_probability(m, n, state.seed, sequence, static_cast<uint32_t>(event));
    const auto rank = static_cast<int64_t>(
        uniform_integer(n, state.seed, sequence, static_cast<uint32_t>(event), Purpose::kPosition));
    plan.positions.push_back(masked[rank]);
    masked.erase(masked.begin() + rank);
    plan.events.push_back(static_cast<uint32_t>(event));
    plan.row_times.push_back(schedule_->time_of_masked(m));
    // The network is called at the first event's time: exact for a time-conditioned network with one token a call.
    if (k == 0) plan.times.push_back(plan.row_times.back());
  }
  plan.sequences.push_back(b);
  plan.row_begin.push_back(static_cast<int64_t>(plan.positions.size()));
  plan.masked.push_back(m);
  plan.next_event.push_back(event);
}

void FirstHitting::write(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
  const std::vector<int64_t> tokens = draw_rows(state, plan, logits, options, Purpose::kToken);
  for (size_t i = 0; i < plan.sequences.size(); ++i) {
    const int64_t b = plan.sequences[i];
    for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r)
      unmask(state, b, plan.positions[r], tokens[r], plan.row_times[r]);
  }
}

}  // namespace pymdm::sample
