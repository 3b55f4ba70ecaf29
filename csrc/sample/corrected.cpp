// Corrects tokens by the output of the next call; the law is in second_order.h.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "random/gumbel.h"
#include "sample/draw.h"
#include "sample/hits.h"
#include "sample/second_order.h"

namespace pymdm::sample {
namespace {

// The residual of a rejected token is drawn at indices from here; index 0 is the acceptance.
constexpr uint64_t kResidualBase = 4;

// Whether a token drawn from p stays when it moves to q = (p + p') / 2 by maximal coupling.
bool keeps(const State& state, int64_t b, uint32_t event, double p, double p_new) {
  const uint64_t r = random_bits(state.seed, state.sequence[b], event, Purpose::kCorrector, 0);
  return uniform_lower(r) * p <= (p + p_new) / 2;
}

// log (q - p)_+ up to a constant.
void residual(const double* log_p, const double* log_new, int64_t vocab, double* out) {
  for (int64_t v = 0; v < vocab; ++v) out[v] = std::log(std::max(0.0, std::exp(log_new[v]) - std::exp(log_p[v])));
}

}  // namespace

void Corrected::admit(const State& state, int64_t b) const {
  check_kept_rows(state, b, true);
  for (const int64_t l : state.kept[b].positions)  // the tokens to be corrected have been drawn, so they are below V
    if (state.rank[state.offsets[b] + l] < 0) fail_kept(b);
}

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
  parallel_for(plan.rows(), rows_at_once(vocab), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) log_probabilities(logits, r, options, &scores[r * vocab]);
  });
  // Row r of sequence i is predicted if r < split[i], else it is a row of the call before, to be corrected.
  Addresses predicted, moved;
  std::vector<double> predicted_scores, moved_scores;
  std::vector<int64_t> split(plan.size());
  std::vector<int64_t*> moved_tokens;
  const Addresses all = addresses(state, plan, false, 0);
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i], end = plan.row_begin[i + 1];
    const Kept& kept = state.kept[b];
    split[i] = end - static_cast<int64_t>(kept.positions.size());
    for (int64_t r = plan.row_begin[i]; r < split[i]; ++r) {
      predicted.sequence.push_back(all.sequence[r]), predicted.event.push_back(all.event[r]);
      predicted_scores.insert(predicted_scores.end(), scores.begin() + r * vocab, scores.begin() + (r + 1) * vocab);
    }
    for (int64_t r = split[i]; r < end; ++r) {
      int64_t& token = state.tokens[state.offsets[b] + plan.positions[r]];
      const double *log_p = &kept.scores[(r - split[i]) * vocab], *log_new = &scores[r * vocab];
      if (keeps(state, b, plan.events[r], std::exp(log_p[token]), std::exp(log_new[token]))) continue;
      moved.sequence.push_back(all.sequence[r]), moved.event.push_back(all.event[r]);
      moved.base.push_back(kResidualBase);
      moved_tokens.push_back(&token);
      moved_scores.resize(moved_scores.size() + vocab);
      residual(log_p, log_new, vocab, &moved_scores[moved_scores.size() - vocab]);
    }
  }
  Options plain = options;
  plain.temperature = 1.0;
  const std::vector<int64_t> tokens =
      draw(state, predicted, {predicted_scores.data(), DType::kFloat64, vocab, vocab}, plain, Purpose::kToken);
  const std::vector<int64_t> corrected =
      draw(state, moved, {moved_scores.data(), DType::kFloat64, vocab, vocab}, plain, Purpose::kCorrector);
  for (size_t k = 0; k < corrected.size(); ++k) *moved_tokens[k] = corrected[k];
  size_t next = 0;
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i], first = plan.row_begin[i];
    for (int64_t r = first; r < split[i]; ++r) unmask(state, b, plan.positions[r], tokens[next++], plan.row_times[r]);
    Kept& kept = state.kept[b];
    kept.time = plan.times[i];
    kept.positions.assign(plan.positions.begin() + first, plan.positions.begin() + split[i]);
    kept.events.assign(plan.events.begin() + first, plan.events.begin() + split[i]);
    kept.scores.assign(scores.begin() + first * vocab, scores.begin() + split[i] * vocab);
  }
}

}  // namespace pymdm::sample
