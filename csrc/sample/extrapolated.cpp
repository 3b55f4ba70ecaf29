// Extrapolates from the two latest outputs; the law is in second_order.h.
#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "sample/draw.h"
#include "sample/hits.h"
#include "sample/second_order.h"

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

double line_coefficient(const std::vector<int64_t>& tokens_per_call, int64_t free) {
  double missing = 0, offered = 0;  // pairs within a call, pairs of neighbouring calls
  int64_t before = 0;
  const auto add = [&](int64_t tokens, double calls) {
    const auto k = static_cast<double>(tokens);
    missing += calls * k * (k - 1) / 2;
    offered += static_cast<double>(before) * k + (calls - 1) * k * k;
    before = tokens;
    free -= tokens * static_cast<int64_t>(calls);
  };
  for (size_t call = 0; call + 1 < tokens_per_call.size() && free > 0; ++call)
    add(std::min(tokens_per_call[call], free), 1);
  const int64_t last = tokens_per_call.back();
  if (free >= last) add(last, static_cast<double>(free / last));
  if (free > 0) add(free, 1);
  return offered > 0 ? std::min(1.0, missing / offered) : 0.0;
}

void Extrapolated::admit(const State& state, int64_t b) const { check_kept_rows(state, b, false); }

void Extrapolated::plan(const State& state, int64_t b, Plan& plan) const {
  // This call's events, then the next call's: their rows are kept as the older end of the next line.
  const int64_t left = state.remaining[b], now = std::min(left, tokens_of_call(tokens_per_call_, state.nfe[b]));
  const int64_t next = std::min(left - now, tokens_of_call(tokens_per_call_, state.nfe[b] + 1));
  const std::vector<Hit> hits = next_hits(state, b, now + next, *schedule_, block_);
  for (const Hit& hit : hits) plan.add_row(hit.position, hit.event, hit.time);
  const Span<const Hit> own{hits.data(), std::min(now, static_cast<int64_t>(hits.size()))};
  plan.add_sequence(b, true, hits.front().time, masked_after(state, b, own, block_), own[own.size - 1].event + 1);
}

// c of the calls of the sequence, or of the block that holds the position.
double Extrapolated::coefficient(const State& state, int64_t b, int64_t position) const {
  if (block_ == 0) return line_coefficient(tokens_per_call_, state.remaining[b] + state.unmasked[b]);
  int64_t call = 0;  // calls before the block
  for (int64_t begin = 0;; begin += block_) {
    int64_t free = 0;
    for (int64_t l = begin; l < std::min(state.length(b), begin + block_); ++l) {
      const int64_t i = state.offsets[b] + l;
      free += state.tokens[i] == state.mask_id || state.rank[i] >= 0;
    }
    if (position < begin + block_) {
      const int64_t first = std::min(call, static_cast<int64_t>(tokens_per_call_.size()) - 1);
      return line_coefficient({tokens_per_call_.begin() + first, tokens_per_call_.end()}, free);
    }
    for (; free > 0; ++call) free -= std::min(free, tokens_of_call(tokens_per_call_, call));
  }
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
    const double c = coefficient(state, b, plan.positions[first]);
    if (c > 0 && static_cast<int64_t>(kept.positions.size()) == now)
      for (int64_t k = 0; k < now; ++k) extrapolate(&scores[(first + k) * vocab], &kept.scores[k * vocab], vocab, c);
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
  plain.temperature = 1.0, plain.top_k = 0, plain.top_p = 1.0;  // all of it is in the scores
  const std::vector<int64_t> tokens =
      draw(state, at, {wanted.data(), DType::kFloat64, vocab, vocab}, plain, Purpose::kToken);
  size_t k = 0;
  for (int64_t i = 0; i < plan.size(); ++i)
    for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1] && plan.events[r] < plan.next_event[i]; ++r, ++k)
      unmask(state, plan.sequences[i], plan.positions[r], tokens[k], plan.row_times[r], scores[r * vocab + tokens[k]]);
}

}  // namespace pymdm::sample
