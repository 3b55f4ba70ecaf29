#include "sample/confidence.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "random/gumbel.h"
#include "sample/draw.h"
#include "sample/hits.h"

namespace pymdm::sample {
namespace {

constexpr double kRounding = 1e-12;  // what a float64 confidence may be short of the threshold

// Confidence of one row: nats for the probabilities of a token and the entropy.
double confidence(Rule rule, const std::vector<double>& log_p, int64_t token) {
  if (rule == Rule::kProbability || rule == Rule::kDrawn) return log_p[token];
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

// The first position of sequence b that was not given.
int64_t first_free(const State& state, int64_t b) {
  int64_t i = state.offsets[b];
  while (state.tokens[i] != state.mask_id && state.rank[i] < 0) ++i;
  return i - state.offsets[b];
}

}  // namespace

void Confidence::plan(const State& state, int64_t b, Plan& plan) const {
  const std::vector<int64_t> masked = masked_positions(state, b);
  const int64_t first = plan.rows();
  int64_t block_end = state.offsets[b + 1] - state.offsets[b];
  if (options_.block > 0 && options_.block < block_end) {
    const int64_t start = options_.aligned ? 0 : first_free(state, b);
    block_end = start + ((masked.front() - start) / options_.block + 1) * options_.block;
  }
  for (const int64_t l : masked)
    if (l < block_end) plan.add_row(l, state.event[b], kNever);
  const double fraction = static_cast<double>(masked.size()) / static_cast<double>(masked.size() + state.unmasked[b]);
  const int64_t own = plan.rows() - first;
  if (options_.rule == Rule::kScore) add_other_rows(state, b, first, plan);
  plan.add_sequence(b, true, fraction, fraction, state.event[b] + 1, own);
}

std::vector<double> Confidence::confidences(const State& state, const Plan& plan, const Logits& logits,
                                            const Options& options, const std::vector<int64_t>& proposed) const {
  if (options_.rule == Rule::kScore) {
    std::vector<int64_t> tokens = state.tokens;
    for (int64_t i = 0; options_.proposals && i < plan.size(); ++i)
      for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i] + plan.own[i]; ++r)
        tokens[state.offsets[plan.sequences[i]] + plan.positions[r]] = proposed[r];
    return options_.score(state, plan, logits, tokens);
  }
  std::vector<double> sure(plan.rows());
  if (options_.rule == Rule::kRandom) {
    for (int64_t i = 0; i < plan.size(); ++i)
      for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r)
        sure[r] = uniform_lower(random_bits(state.seed, state.sequence[plan.sequences[i]], plan.events[r],
                                            Purpose::kConfidence, plan.positions[r]));
    return sure;
  }
  Options measured = options;
  if (options.temperature == 0 || options_.rule == Rule::kProbability) measured.temperature = 1.0;
  if (options_.rule == Rule::kProbability) measured.top_k = 0, measured.top_p = 1.0;
  parallel_for(plan.rows(), rows_at_once(logits.vocab), [&](int64_t begin, int64_t end) {
    std::vector<double> log_p(logits.vocab);
    for (int64_t r = begin; r < end; ++r) {
      log_probabilities(logits, r, measured, log_p.data());
      sure[r] = confidence(options_.rule, log_p, proposed[r]);
    }
  });
  return sure;
}

void Confidence::write(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
  const std::vector<int64_t> proposed = draw_own(state, plan, logits, options);
  const std::vector<double> sure = confidences(state, plan, logits, options, proposed);
  const bool logarithms = options_.rule == Rule::kProbability || options_.rule == Rule::kDrawn;
  const double tie = options_.rule == Rule::kRandom || options_.rule == Rule::kScore ? 0 : kTie;
  const bool bounded = options_.rule == Rule::kEntropy && options_.bound >= 0;
  const auto passes = [&](int64_t r) {
    return (logarithms ? std::exp(sure[r]) : sure[r]) >= options_.threshold - kRounding;
  };
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i], first = plan.row_begin[i], rows = plan.own[i];
    const auto lot = [&](int64_t r) {
      return random_bits(state.seed, state.sequence[b], plan.events[r], Purpose::kConfidence, plan.positions[r]);
    };
    std::vector<int64_t> left(rows);  // from the surest on
    std::iota(left.begin(), left.end(), first);
    std::stable_sort(left.begin(), left.end(), [&](int64_t x, int64_t y) { return sure[x] > sure[y]; });
    double entropies = 0;
    for (int64_t count = tokens_of_call(options_.tokens_per_call, state.nfe[b]); !left.empty(); --count) {
      const bool more = count > 0 || (bounded && entropies <= options_.bound);
      auto chosen = left.begin();  // among those tied with the surest, by lot; over the threshold, all in turn
      if (more)
        for (auto it = chosen; it != left.end() && sure[*it] >= sure[left.front()] - tie; ++it)
          if (lot(*it) > lot(*chosen)) chosen = it;
      const int64_t r = *chosen;
      if (!more && !passes(r)) break;
      entropies -= sure[r];
      left.erase(chosen);
      unmask(state, b, plan.positions[r], proposed[r], plan.times[i]);
    }
  }
}

}  // namespace pymdm::sample
