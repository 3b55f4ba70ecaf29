#include "sample/corrected.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "random/gumbel.h"
#include "sample/draw.h"
#include "sample/hits.h"

namespace pymdm::sample {
namespace {

// The residual of a rejected token is drawn at indices from here; index 0 is the acceptance.
constexpr uint64_t kResidualBase = 4;

// Moves `token`, drawn from p, to a draw from q = (p + p') / 2 by maximal coupling.
int64_t move(State& state, int64_t b, uint32_t event, int64_t token, const double* log_p, const double* log_new,
             int64_t vocab) {
  const double p = std::exp(log_p[token]), q = (p + std::exp(log_new[token])) / 2;
  const uint64_t r = random_bits(state.seed, state.sequence[b], event, Purpose::kCorrector, 0);
  if (uniform_lower(r) * p <= q) return token;
  std::vector<double> residual(vocab);
  for (int64_t v = 0; v < vocab; ++v)
    residual[v] = std::log(std::max(0.0, (std::exp(log_new[v]) - std::exp(log_p[v])) / 2));
  const Addresses at{{state.sequence[b]}, {event}, {kResidualBase}};
  return draw(state, at, {residual.data(), DType::kFloat64, vocab, vocab}, Options{}, Purpose::kCorrector)[0];
}

}  // namespace

void Corrected::plan(const State& state, int64_t b, Plan& plan) const {
  const std::vector<Hit> hits = next_hits(state, b, tokens_of_call(tokens_per_call_, state.nfe[b]), *schedule_);
  for (const Hit& hit : hits) plan.add_row(hit.position, hit.event, hit.time);
  const Kept& before = state.kept[b];  // the call before's positions, to be corrected
  for (size_t k = 0; k < before.positions.size(); ++k) plan.add_row(before.positions[k], before.events[k], kNever);
  plan.add_sequence(b, true, hits.front().time, hits.back().masked, hits.back().event + 1);
}

void Corrected::write(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
  check(options.temperature > 0 && options.top_k == 0 && options.top_p == 1, "sample",
        "the corrector needs a temperature above 0 and neither top_k nor top_p");
  const int64_t vocab = logits.vocab;
  std::vector<double> scores(plan.rows() * vocab);
  parallel_for(plan.rows(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) log_probabilities(logits, r, options, &scores[r * vocab]);
  });
  Options plain = options;
  plain.temperature = 1.0;
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i], first = plan.row_begin[i], end = plan.row_begin[i + 1];
    Kept& kept = state.kept[b];
    const int64_t split = end - static_cast<int64_t>(kept.positions.size());  // predicted rows, then rows to correct
    Addresses at;
    at.sequence.assign(split - first, state.sequence[b]);
    at.event.assign(plan.events.begin() + first, plan.events.begin() + split);
    const std::vector<int64_t> tokens =
        draw(state, at, {&scores[first * vocab], DType::kFloat64, vocab, vocab}, plain, Purpose::kToken);
    for (int64_t r = split; r < end; ++r) {
      int64_t& token = state.tokens[state.offsets[b] + plan.positions[r]];
      token = move(state, b, plan.events[r], token, &kept.scores[(r - split) * vocab], &scores[r * vocab], vocab);
    }
    for (int64_t r = first; r < split; ++r) unmask(state, b, plan.positions[r], tokens[r - first], plan.row_times[r]);
    kept.time = plan.times[i];
    kept.positions.assign(plan.positions.begin() + first, plan.positions.begin() + split);
    kept.events.assign(plan.events.begin() + first, plan.events.begin() + split);
    kept.scores.assign(scores.begin() + first * vocab, scores.begin() + split * vocab);
  }
}

}  // namespace pymdm::sample
