#include "sample/position_score.h"

namespace pymdm::sample {

void add_other_rows(const State& state, int64_t b, int64_t first, Plan& plan) {
  std::vector<uint8_t> there(state.length(b), 0);
  for (int64_t r = first; r < plan.rows(); ++r) there[plan.positions[r]] = 1;
  for (int64_t l = 0; l < state.length(b); ++l)
    if (there[l] == 0) plan.add_row(l, state.event[b], kNever);
}

}  // namespace pymdm::sample
