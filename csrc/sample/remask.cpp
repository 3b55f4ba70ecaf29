#include "sample/remask.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "core/error.h"
#include "core/parallel.h"
#include "random/gumbel.h"
#include "sample/draw.h"

namespace pymdm::sample {
namespace {

// Whether an event of a given probability happens at an address.
bool happens(double probability, const State& state, int64_t b, int64_t step, Purpose purpose, int64_t position) {
  if (!(probability > 0)) return false;
  const uint64_t r = random_bits(state.seed, state.sequence[b], static_cast<uint32_t>(step), purpose, position);
  return probability >= 1 || uniform_lower(r) < probability;
}

}  // namespace

void Remask::admit(const State& state, int64_t b) const {
  const Kept& kept = state.kept[b];
  const size_t scores = confident_ ? static_cast<size_t>(state.length(b)) : 0;
  if (!kept.positions.empty() || !kept.events.empty() || (!kept.scores.empty() && kept.scores.size() != scores))
    fail_kept(b);
  if (confident_ && kept.scores.empty() && state.unmasked[b] > 0) fail_kept(b);
  for (const double p : kept.scores)
    if (!(p >= 0 && p <= 1)) fail_kept(b);
}

bool Remask::finished(const State& state, int64_t b) const {
  const auto steps = static_cast<int64_t>(sigma_.size());
  check(state.remaining[b] == 0 || state.event[b] < steps, "sample", "sequence ", b, " has masks at step ",
        state.event[b], " of a grid of ", steps);
  const bool free = state.remaining[b] > 0 || state.unmasked[b] > 0;
  return !free || state.event[b] >= steps;
}

void Remask::plan(const State& state, int64_t b, Plan& plan) const {
  const int64_t step = state.event[b];
  const double m = levels_[step], s = levels_[step + 1];
  const double leave = (m - s + (confident_ ? 0 : sigma_[step] * (1 - m))) / m;
  const int64_t rows = plan.rows();
  for (const int64_t l : masked_positions(state, b))
    if (happens(leave, state, b, step, Purpose::kMove, l)) plan.add_row(l, step, times_[step + 1]);
  const int64_t own = plan.rows() - rows;
  if (score_ && !masked_again(state, b).empty()) add_other_rows(state, b, rows, plan);
  plan.add_sequence(b, plan.rows() > rows, times_[step], s, step + 1, own);
}

// The `count` drawn positions that are masked again are those with the lowest scores, ties by the number that decides
// without scores. Scores [L] by position.
std::vector<int64_t> Remask::worst(const State& state, int64_t b, size_t count,
                                   const std::vector<double>& scores) const {
  const auto step = static_cast<uint32_t>(state.event[b]);
  std::vector<std::tuple<double, uint64_t, int64_t>> drawn;
  for (int64_t l = 0; l < state.length(b); ++l)
    if (state.rank[state.offsets[b] + l] >= 0)
      drawn.emplace_back(scores[l], random_bits(state.seed, state.sequence[b], step, Purpose::kRemask, l), l);
  std::sort(drawn.begin(), drawn.end());
  std::vector<int64_t> out;
  for (size_t i = 0; i < count; ++i) out.push_back(std::get<2>(drawn[i]));
  return out;
}

// Drawn positions that this step masks again, without a look at scores of the user's. Kept scores [L] of a sequence:
// the probability of every drawn token.
std::vector<int64_t> Remask::masked_again(const State& state, int64_t b) const {
  const int64_t step = state.event[b], first = state.offsets[b];
  std::vector<int64_t> drawn;
  for (int64_t i = first; i < state.offsets[b + 1]; ++i)
    if (state.rank[i] >= 0) drawn.push_back(i - first);
  const std::vector<double>& sure = state.kept[b].scores;
  double total = 0;
  if (confident_)
    for (const int64_t l : drawn) total += std::exp(-sure[l]);
  std::vector<int64_t> again;
  for (const int64_t l : drawn) {
    const double sigma = sigma_[step] * (confident_ ? std::exp(-sure[l]) / total : 1.0);
    if (happens(sigma, state, b, step, Purpose::kRemask, l)) again.push_back(l);
  }
  return again;
}

void Remask::write(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
  std::vector<int64_t> tokens;
  std::vector<double> sure(plan.rows()), scores;
  if (plan.rows() > 0) tokens = draw_own(state, plan, logits, options);
  if (score_ && plan.rows() > 0) scores = score_(state, plan, logits, state.tokens);
  if (confident_ && plan.rows() > 0) {
    parallel_for(plan.rows(), rows_at_once(logits.vocab), [&](int64_t begin, int64_t end) {
      std::vector<double> log_p(logits.vocab);
      for (int64_t r = begin; r < end; ++r) {
        log_probabilities(logits, r, options, log_p.data());
        sure[r] = std::exp(log_p[tokens[r]]);
      }
    });
  }
  place(state, plan, tokens.data(), sure.data(), scores.data());
}

void Remask::place(State& state, const Plan& plan, const int64_t* tokens) const {
  place(state, plan, tokens, nullptr, nullptr);
}

void Remask::place(State& state, const Plan& plan, const int64_t* tokens, const double* sure,
                   const double* scores) const {
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i];
    if (confident_) state.kept[b].scores.resize(state.offsets[b + 1] - state.offsets[b]);
    const int64_t first = plan.row_begin[i];
    std::vector<int64_t> again = masked_again(state, b);  // before this step's tokens are there
    if (score_ && !again.empty()) {
      std::vector<double> by_position(state.length(b));
      for (int64_t r = first; r < plan.row_begin[i + 1]; ++r) by_position[plan.positions[r]] = scores[r];
      again = worst(state, b, again.size(), by_position);
    }
    for (int64_t r = first; r < first + plan.own[i]; ++r) {
      unmask(state, b, plan.positions[r], tokens[r], plan.row_times[r]);
      if (confident_) state.kept[b].scores[plan.positions[r]] = sure[r];
    }
    for (const int64_t l : again) mask_again(state, b, l);
  }
}

}  // namespace pymdm::sample
