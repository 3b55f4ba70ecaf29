#include "sample/confidence.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "random/gumbel.h"
#include "sample/draw.h"

namespace pymdm::sample {
namespace {

// Confidence of one row; log_p are log-probabilities at temperature 1, whatever the proposals' temperature.
double confidence(Rule rule, const std::vector<double>& log_p, int64_t token) {
  if (rule == Rule::kProbability) return std::exp(log_p[token]);
  if (rule == Rule::kMargin) {
    double first = 0, second = 0;
    for (const double l : log_p) {
      const double p = std::exp(l);
      if (p > first)
        second = first, first = p;
      else if (p > second)
        second = p;
    }
    return first - second;
  }
  double negative_entropy = 0;
  for (const double l : log_p)
    if (!std::isinf(l)) negative_entropy += std::exp(l) * l;
  return negative_entropy;
}

}  // namespace

void Confidence::plan(const State& state, int64_t b, Plan& plan) const {
  const std::vector<int64_t> masked = masked_positions(state, b);
  const int64_t length = state.offsets[b + 1] - state.offsets[b];
  const int64_t block_end = options_.block > 0 ? (masked.front() / options_.block + 1) * options_.block : length;
  for (const int64_t l : masked)
    if (l < block_end) plan.add_row(l, state.event[b], kNever);
  const double fraction = static_cast<double>(masked.size()) / static_cast<double>(masked.size() + state.unmasked[b]);
  plan.add_sequence(b, true, fraction, fraction, state.event[b] + 1);
}

void Confidence::write(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
  const std::vector<int64_t> proposed =
      draw(state, addresses(state, plan, true, logits.vocab), logits, options, Purpose::kToken);
  std::vector<double> sure(proposed.size());
  Options untempered = options;
  untempered.temperature = 1.0;
  parallel_for(plan.rows(), rows_at_once(logits.vocab), [&](int64_t begin, int64_t end) {
    std::vector<double> log_p(logits.vocab);
    for (int64_t r = begin; r < end; ++r) {
      if (options_.rule == Rule::kRandom) continue;
      log_probabilities(logits, r, untempered, log_p.data());
      sure[r] = confidence(options_.rule, log_p, proposed[r]);
    }
  });
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i], first = plan.row_begin[i], rows = plan.row_begin[i + 1] - first;
    if (options_.rule == Rule::kRandom)
      for (int64_t r = first; r < first + rows; ++r)
        sure[r] = uniform_lower(
            random_bits(state.seed, state.sequence[b], plan.events[r], Purpose::kConfidence, plan.positions[r]));
    std::vector<int64_t> by_confidence(rows);
    std::iota(by_confidence.begin(), by_confidence.end(), first);
    std::stable_sort(by_confidence.begin(), by_confidence.end(),
                     [&](int64_t x, int64_t y) { return sure[x] > sure[y]; });
    for (int64_t k = 0; k < rows; ++k) {
      const int64_t r = by_confidence[k];
      if (k >= options_.tokens_per_call && !(sure[r] > options_.threshold)) break;
      unmask(state, b, plan.positions[r], proposed[r], plan.times[i]);
    }
  }
}

}  // namespace pymdm::sample
