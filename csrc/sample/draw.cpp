#include "sample/draw.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "ops/cpu/choose_allowed.h"
#include "ops/cpu/choose_truncate.h"
#include "ops/log_softmax.h"

namespace pymdm::sample {

std::vector<int64_t> draw(State& state, const Addresses& at, const Logits& logits, const Options& options,
                          Purpose purpose, ops::Noise noise, bool mark_bad) {
  std::vector<int64_t> tokens(at.sequence.size());
  if (!at.forced.empty()) return at.forced;
  state.draws += static_cast<int64_t>(tokens.size());
  ops::ChooseArgs args;
  args.logits = logits.data;
  args.dtype = logits.dtype;
  args.rows = static_cast<int64_t>(tokens.size());
  args.vocab = logits.vocab;
  args.row_stride = logits.stride;
  args.seed = state.seed;
  args.purpose = purpose;
  args.sequence = at.sequence.data();
  args.event = at.event.data();
  args.base = at.base.empty() ? nullptr : at.base.data();
  args.temperature = options.temperature;
  args.banned = options.banned.empty() ? nullptr : options.banned.data();
  args.allowed = logits.allowed;
  args.top_k = options.top_k;
  args.top_p = options.top_p;
  args.mark_bad = mark_bad;
  args.token = tokens.data();
  if (logits.chooser != nullptr)
    logits.chooser->choose(args);
  else
    ops::choose_emulated(args, noise);
  return tokens;
}

Logits rows_from(const Logits& logits, int64_t row) {
  Logits out = logits;
  out.data = static_cast<const char*>(logits.data) + row * logits.stride * element_size(logits.dtype);
  if (out.allowed != nullptr) out.allowed += row;
  return out;
}

std::vector<int64_t> draw_own(State& state, const Plan& plan, const Logits& logits, const Options& options) {
  if (std::accumulate(plan.own.begin(), plan.own.end(), int64_t{0}) == plan.rows())
    return draw(state, addresses(state, plan, true, logits.vocab), logits, options, Purpose::kToken);
  std::vector<int64_t> tokens(plan.rows(), -1);
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t first = plan.row_begin[i];
    if (plan.own[i] == 0) continue;
    Plan step;
    step.clear();
    for (int64_t r = first; r < first + plan.own[i]; ++r) step.add_row(plan.positions[r], plan.events[r], kNever);
    step.add_sequence(plan.sequences[i], true, plan.times[i], plan.masked[i], plan.next_event[i]);
    try {
      const Addresses at = addresses(state, step, true, logits.vocab);
      const std::vector<int64_t> drawn = draw(state, at, rows_from(logits, first), options, Purpose::kToken);
      std::copy(drawn.begin(), drawn.end(), tokens.begin() + first);
    } catch (RowError& error) {
      error.row += first;
      throw;
    }
  }
  return tokens;
}

Addresses addresses(const State& state, const Plan& plan, bool several_positions, int64_t classes) {
  Addresses at;
  at.event = plan.events;
  at.sequence.reserve(plan.positions.size());
  for (int64_t i = 0; i < plan.size(); ++i)
    at.sequence.insert(at.sequence.end(), plan.row_begin[i + 1] - plan.row_begin[i], state.sequence[plan.sequences[i]]);
  if (!state.forced.empty())
    for (int64_t i = 0; i < plan.size(); ++i)
      for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r)
        at.forced.push_back(state.forced[state.offsets[plan.sequences[i]] + plan.positions[r]]);
  if (several_positions)
    for (const int64_t position : plan.positions) at.base.push_back(base_of(position, classes));
  return at;
}

void log_probabilities(const Logits& logits, int64_t row, const Options& options, double* out) {
  const char* data = static_cast<const char*>(logits.data) + row * logits.stride * element_size(logits.dtype);
  static thread_local std::vector<uint8_t> own;
  ops::ChooseArgs args;
  args.logits = logits.data, args.dtype = logits.dtype, args.vocab = logits.vocab, args.row_stride = logits.stride;
  args.banned = options.banned.empty() ? nullptr : options.banned.data(), args.allowed = logits.allowed;
  args.temperature = options.temperature, args.top_k = options.top_k, args.top_p = options.top_p;
  const uint8_t* banned = ops::bans_of(args, row, 0, logits.vocab, own);
  if (options.temperature > 0 && (options.top_k > 0 || options.top_p < 1)) {
    own.resize(logits.vocab);
    if (ops::truncate_row(args, row, banned, own.data()))
      banned = own.data();  // else the row is bad, and refused below
  }
  ops::log_softmax(data, logits.dtype, logits.vocab, options.temperature, banned, row, out);
}

void advance(State& state, const Plan& plan, int64_t i) {
  const int64_t b = plan.sequences[i];
  state.event[b] = plan.next_event[i];
  state.masked[b] = plan.masked[i];
  state.nfe[b] += plan.ask[i];
}

void record(State& state, const Plan& plan, const Logits& logits, const Options& options) {
  if (plan.rows() == 0 || logits.chooser != nullptr) return;
  std::vector<int64_t> at(plan.rows(), -1);  // tokens that this step drew
  for (int64_t i = 0; i < plan.size(); ++i)
    for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r) {
      const int64_t place = state.offsets[plan.sequences[i]] + plan.positions[r];
      if (state.rank[place] >= 0 && std::isnan(state.log_prob[place])) at[r] = place;
    }
  parallel_for(plan.rows(), rows_at_once(logits.vocab), [&](int64_t begin, int64_t end) {
    std::vector<double> log_p(logits.vocab);
    for (int64_t r = begin; r < end; ++r) {
      if (at[r] < 0) continue;
      log_probabilities(logits, r, options, log_p.data());
      state.log_prob[at[r]] = log_p[state.tokens[at[r]]];
    }
  });
}

void unmask(State& state, int64_t b, int64_t position, int64_t token, double time, double log_prob) {
  const int64_t at = state.offsets[b] + position;
  state.tokens[at] = token;
  state.times[at] = time;
  state.log_prob[at] = log_prob;
  state.rank[at] = state.unmasked[b]++;
  --state.remaining[b];
}

void mask_again(State& state, int64_t b, int64_t position) {
  const int64_t at = state.offsets[b] + position, rank = state.rank[at];
  state.tokens[at] = state.mask_id;
  state.times[at] = kNever;
  state.rank[at] = -1;
  state.log_prob[at] = kNever;
  for (int64_t i = state.offsets[b]; i < state.offsets[b + 1]; ++i) state.rank[i] -= state.rank[i] > rank;
  --state.unmasked[b];
  ++state.remaining[b];
}

std::vector<int64_t> masked_positions(const State& state, int64_t b) {
  std::vector<int64_t> out;
  out.reserve(state.remaining[b]);
  for (int64_t i = state.offsets[b]; i < state.offsets[b + 1]; ++i)
    if (state.tokens[i] == state.mask_id) out.push_back(i - state.offsets[b]);
  return out;
}

void fail_kept(int64_t b) {
  fail("sample", "the state of sequence ", b, " keeps outputs that this sampler would not have kept: is it another's?");
}

void check_kept_rows(const State& state, int64_t b, bool with_events) {
  const Kept& kept = state.kept[b];
  const size_t rows = kept.positions.size();
  if (kept.events.size() != (with_events ? rows : 0) || kept.scores.size() != rows * static_cast<size_t>(state.vocab))
    fail_kept(b);
}

void Sampler::admit(const State& state, int64_t b) const {
  const Kept& kept = state.kept[b];
  if (!kept.positions.empty() || !kept.events.empty() || !kept.scores.empty()) fail_kept(b);
}

void Sampler::init(State& state) const {
  const size_t batch = state.sequence.size(), total = state.tokens.size();
  state.times.assign(total, kNever);
  state.rank.assign(total, -1);
  state.log_prob.assign(total, kNever);
  state.remaining.assign(batch, 0);
  state.unmasked.assign(batch, 0);
  state.event.assign(batch, 0);
  state.masked.assign(batch, 1.0);
  state.nfe.assign(batch, 0);
  state.kept.assign(batch, Kept{});
  state.guesses.assign(batch, Guesses{});
  state.rounds.assign(batch, 0);
  state.rows.assign(batch, 0);
  state.vocab = state.calls = state.draws = 0;
  for (size_t b = 0; b < batch; ++b)
    for (int64_t i = state.offsets[b]; i < state.offsets[b + 1]; ++i)
      state.remaining[b] += state.tokens[i] == state.mask_id;
}

}  // namespace pymdm::sample
