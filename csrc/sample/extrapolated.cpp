#include "sample/extrapolated.h"

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "sample/draw.h"
#include "sample/hits.h"

namespace pymdm::sample {
namespace {

// p + c (p - q) in probabilities, clipped and normalised, as logarithms in place of log_p. c >= 0. Entries sum to 1
// before clipping, so the sum after it is at least 1.
void extrapolate(double* log_p, const double* log_q, int64_t vocab, double c) {
  double sum = 0;
  for (int64_t v = 0; v < vocab; ++v) {
    const double p = std::exp(log_p[v]), q = std::exp(log_q[v]);
    log_p[v] = std::max(0.0, p + c * (p - q));
    sum += log_p[v];
  }
  for (int64_t v = 0; v < vocab; ++v) log_p[v] = std::log(log_p[v] / sum);
}

}  // namespace

void Extrapolated::plan(const State& state, int64_t b, Plan& plan) const {
  // This call's events, then the next call's: their rows are kept as the older end of the next line.
  const int64_t now = tokens_of_call(tokens_per_call_, state.nfe[b]);
  const int64_t next = tokens_of_call(tokens_per_call_, state.nfe[b] + 1);
  const std::vector<Hit> hits = next_hits(state, b, now + next, *schedule_);
  for (const Hit& hit : hits) plan.add_row(hit.position, hit.event, hit.time);
  const Hit& last = hits[std::min<size_t>(now, hits.size()) - 1];
  plan.add_sequence(b, true, hits.front().time, last.masked, last.event + 1);
}

void Extrapolated::write(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
  const int64_t vocab = logits.vocab;
  std::vector<double> scores(plan.rows() * vocab);
  parallel_for(plan.rows(), rows_at_once(vocab), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) log_probabilities(logits, r, options, &scores[r * vocab]);
  });
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i], first = plan.row_begin[i];
    const int64_t now = plan.next_event[i] - static_cast<int64_t>(plan.events[first]), split = first + now;
    Kept& kept = state.kept[b];
    Kept next;
    next.time = plan.times[i];
    next.positions.assign(plan.positions.begin() + split, plan.positions.begin() + plan.row_begin[i + 1]);
    next.scores.assign(scores.begin() + split * vocab, scores.begin() + plan.row_begin[i + 1] * vocab);
    if (static_cast<int64_t>(kept.positions.size()) == now)
      for (int64_t k = 0; k < now; ++k)
        extrapolate(&scores[(first + k) * vocab], &kept.scores[k * vocab], vocab,
                    (plan.times[i] - plan.row_times[first + k]) / (kept.time - plan.times[i]));
    kept = std::move(next);
  }
  // Draw only this call's rows; the logits are log-probabilities at the wanted temperature already.
  Addresses at;
  std::vector<double> wanted;
  const Addresses all = addresses(state, plan, false, 0);
  for (int64_t i = 0; i < plan.size(); ++i)
    for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1] && plan.events[r] < plan.next_event[i]; ++r) {
      at.sequence.push_back(all.sequence[r]), at.event.push_back(all.event[r]);
      wanted.insert(wanted.end(), scores.begin() + r * vocab, scores.begin() + (r + 1) * vocab);
    }
  Options plain = options;
  plain.temperature = 1.0;
  const std::vector<int64_t> tokens =
      draw(state, at, {wanted.data(), DType::kFloat64, vocab, vocab}, plain, Purpose::kToken);
  size_t k = 0;
  for (int64_t i = 0; i < plan.size(); ++i)
    for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1] && plan.events[r] < plan.next_event[i]; ++r)
      unmask(state, plan.sequences[i], plan.positions[r], tokens[k++], plan.row_times[r]);
}

}  // namespace pymdm::sample
