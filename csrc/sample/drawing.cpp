#include "sample/drawing.h"

#include "sample/draw.h"

namespace pymdm::sample {

std::vector<int64_t> Drawing::tokens(State& state, const Plan& plan, const Logits& logits, const Options& options,
                                     bool mark_bad) const {
  return draw(state, addresses(state, plan, several_positions_, logits.vocab), logits, options, Purpose::kToken, noise_,
              mark_bad);
}

void Drawing::place(State& state, const Plan& plan, const int64_t* tokens) const {
  for (int64_t i = 0; i < plan.size(); ++i)
    for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r)
      unmask(state, plan.sequences[i], plan.positions[r], tokens[r], plan.row_times[r]);
}

void Drawing::write(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
  place(state, plan, tokens(state, plan, logits, options, false).data());
}

}  // namespace pymdm::sample
