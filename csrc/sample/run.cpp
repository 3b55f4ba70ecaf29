#include "sample/run.h"

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace pymdm::sample {
namespace {

// Planned sequences packed for the network, without padding.
struct Packed {
  std::vector<int64_t> tokens, offsets, rows;

  void fill(const State& state, const Plan& plan) {
    tokens.clear(), rows.clear();
    offsets.assign(1, 0);
    for (size_t i = 0; i < plan.sequences.size(); ++i) {
      const int64_t b = plan.sequences[i], first = offsets.back();
      tokens.insert(tokens.end(), state.tokens.begin() + state.offsets[b], state.tokens.begin() + state.offsets[b + 1]);
      offsets.push_back(static_cast<int64_t>(tokens.size()));
      for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r) rows.push_back(first + plan.positions[r]);
    }
  }
};

template <class T>
Span<const T> view(const std::vector<T>& v) {
  return {v.data(), static_cast<int64_t>(v.size())};
}

}  // namespace

void run(State& state, const Sampler& sampler, Network& network, const RunOptions& options, const Watch& watch) {
  const int64_t slots = options.batch_size > 0 ? options.batch_size : std::max<int64_t>(1, state.size());
  Plan plan;
  Packed packed;
  std::vector<int64_t> active;
  int64_t waiting = 0;  // sequences before this one are active or finished
  for (int64_t calls = 0; options.max_calls == 0 || calls < options.max_calls; ++calls) {
    active.erase(std::remove_if(active.begin(), active.end(), [&](int64_t b) { return state.remaining[b] == 0; }),
                 active.end());
    for (; waiting < state.size() && static_cast<int64_t>(active.size()) < slots; ++waiting)
      if (state.remaining[waiting] > 0) active.push_back(waiting);
    if (active.empty()) return;

    plan.clear();
    for (const int64_t b : active) sampler.plan(state, b, plan);
    packed.fill(state, plan);
    const Logits logits =
        network.logits({view(packed.tokens), view(packed.offsets), view(packed.rows), view(plan.times)});
    sampler.write(state, plan, logits, options.draw);
    for (size_t i = 0; i < plan.sequences.size(); ++i) {
      const int64_t b = plan.sequences[i];
      state.event[b] = plan.next_event[i];
      state.masked[b] = plan.masked[i];
      ++state.nfe[b];
    }
    ++state.calls;
    state.draws += static_cast<int64_t>(plan.positions.size());
    if (watch) watch(state);
  }
}

}  // namespace pymdm::sample
