#include "sample/lookahead.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "ops/choose_lazy.h"
#include "ops/convert.h"
#include "random/address.h"
#include "sample/draw.h"

namespace pymdm::sample {
namespace {

constexpr double kRowShare = 1.0 / 24;  // 12 x 768, V = 50,258, bfloat16, Zen 4: 1/20 with one thread, 1/32 with two

// Row r's gap between the score of its token and the best other score, under the row's noise.
double score_gap(const State& state, const Plan& plan, int64_t i, int64_t r, int64_t token, uint64_t base,
                 const Logits& logits, const Options& options) {
  std::vector<uint8_t> banned(logits.vocab, 0);
  if (!options.banned.empty()) banned = options.banned;
  banned[token] = 1;
  const uint64_t sequence = state.sequence[plan.sequences[i]];
  int64_t second = -1;
  ops::ChooseArgs args;
  args.logits = rows_from(logits, r).data;
  args.dtype = logits.dtype;
  args.rows = 1, args.vocab = logits.vocab, args.row_stride = logits.stride;
  args.seed = state.seed;
  args.sequence = &sequence, args.event = &plan.events[r], args.base = &base;
  args.temperature = options.temperature, args.top_k = options.top_k, args.top_p = options.top_p;
  args.banned = banned.data();
  args.allowed = rows_from(logits, r).allowed;
  args.mark_bad = true;
  args.token = &second;
  ops::choose(args);
  if (second < 0) return std::numeric_limits<double>::infinity();
  const auto score = [&](int64_t v) {
    const double x = ops::load_element(args.logits, args.dtype, v);
    if (args.temperature == 0) return x;
    const uint64_t bits =
        random_bits(state.seed, sequence, plan.events[r], Purpose::kToken, base + static_cast<uint64_t>(v));
    return ops::full_score(x, 1 / args.temperature, bits);
  };
  return score(token) - score(second);
}

// Adds the rows of a step's only sequence.
void add_rows(const Plan& step, Plan& plan) {
  for (int64_t r = 0; r < step.rows(); ++r) plan.add_row(step.positions[r], step.events[r], step.row_times[r]);
}

}  // namespace

void Lookahead::pass_silent(State& state, int64_t b) const {
  Plan step;
  while (!sampler_.finished(state, b)) {
    step.clear();
    sampler_.plan(state, b, step);
    if (step.ask[0] != 0) return;
    sampler_.place(state, step, nullptr);
    advance(state, step, 0);
  }
}

// The steps that the guesses at hand reach, one more, and those to guess next. Positions and times need no token.
std::vector<Lookahead::Step> Lookahead::steps(const State& state, int64_t b) const {
  State future = select(state, {b});
  std::vector<Step> out;
  const auto guesses = static_cast<int64_t>(state.guesses[b].tokens.size());
  const std::vector<int64_t> unknown(future.tokens.size(), state.mask_id + 1);  // any token but the mask
  int64_t rows = 0;
  const int64_t reach = windows_.reach(guesses);
  for (int64_t beyond = 0; beyond < reach && !sampler_.finished(future, 0);) {
    Step step;
    step.plan.clear();
    sampler_.plan(future, 0, step.plan);
    rows += step.plan.rows();
    beyond += rows > guesses;
    std::vector<int64_t> known = future.tokens;
    for (const int64_t l : step.plan.positions) known[l] = unknown[l];
    sampler_.place(future, step.plan, unknown.data());
    advance(future, step.plan, 0);
    pass_silent(future, 0);
    for (int64_t l = 0; l < future.length(0); ++l)
      if (known[l] != state.mask_id && future.tokens[l] == state.mask_id) step.masked_again.push_back(l);
    out.push_back(std::move(step));
  }
  return out;
}

Prospect Lookahead::prospect(const State& state, int64_t b, const std::vector<Step>& steps) const {
  const Guesses& guesses = state.guesses[b];
  Prospect out{state.offsets[b + 1] - state.offsets[b], {}};
  size_t row = 0;
  double chance = 1;
  for (size_t j = 0; j + 1 < steps.size() && static_cast<int64_t>(j) + 1 < sampler_.ahead().window &&
                     row + steps[j].plan.rows() <= guesses.tokens.size();
       ++j) {
    for (int64_t r = 0; r < steps[j].plan.rows(); ++r, ++row)
      if (sampler_.ahead().adaptive()) chance *= windows_.hit(guesses.gaps[row], static_cast<int64_t>(j) + 1);
    out.chances.push_back(chance);
  }
  return out;
}

// How many steps to guess from copy number `copy`. Its guesses are of use where it is the last right one, and the guess
// of a step where those before it are right too: a token more in the next round, that is the cost of a round over its
// tokens. Where a row costs kRowShare of a round (its products beside reading the weights), rows of less use are left
// out.
int64_t Lookahead::depth_of(int64_t copy, int64_t width, int64_t depth) const {
  if (!rows_cost_) return depth;
  const double right = hits_ / guessed_;
  double use = std::pow(right, static_cast<double>(copy)) * (copy + 1 < width ? 1 - right : 1);
  double tokens = 0;  // of a round: sum of right^j over its copies
  for (int64_t j = 0; j < width; ++j) tokens += std::pow(right, static_cast<double>(j));
  int64_t found = 0;
  for (; found < depth && use >= kRowShare * tokens; ++found) use *= right;
  return found;
}

void Lookahead::plan(State& state, const std::vector<int64_t>& sequences, Plan& plan) {
  began_ = std::chrono::steady_clock::now();
  std::vector<std::vector<Step>> all;
  std::vector<Prospect> prospects;
  std::vector<int64_t> asking;
  for (const int64_t b : sequences) {
    pass_silent(state, b);
    if (sampler_.finished(state, b)) continue;
    asking.push_back(b);
    all.push_back(steps(state, b));
    prospects.push_back(prospect(state, b, all.back()));
  }
  const std::vector<int64_t> widths = windows_.widths(prospects);
  const int64_t depth = windows_.depth(widths);
  groups_.clear();
  for (size_t s = 0; s < asking.size(); ++s) {
    const std::vector<Step>& step = all[s];
    const Guesses& guesses = state.guesses[asking[s]];
    groups_.push_back({plan.size(), widths[s]});
    for (int64_t j = 0; j < widths[s]; ++j) {
      size_t guess = 0;
      for (int64_t before = 0; before < j; ++before) {
        for (const int64_t position : step[before].plan.positions) plan.add_fill(position, guesses.tokens[guess++]);
        for (const int64_t position : step[before].masked_again) plan.add_fill(position, state.mask_id);
      }
      const Plan& own = step[j].plan;
      add_rows(own, plan);
      const int64_t furthest = j + depth_of(j, widths[s], depth);
      for (int64_t next = j + 1; next <= furthest && next < static_cast<int64_t>(step.size()); ++next)
        add_rows(step[next].plan, plan);
      plan.add_sequence(asking[s], true, own.times[0], own.masked[0], own.next_event[0], own.rows());
    }
  }
}

void Lookahead::write(State& state, const Plan& plan, const Logits& logits, const Options& options) {
  const std::vector<int64_t> tokens = sampler_.tokens(state, plan, logits, options, true);
  double scored = 0, done = 0;
  bool ahead = false;
  for (const Group& group : groups_) {
    const int64_t b = plan.sequences[group.first];
    const Guesses guesses = state.guesses[b];
    scored += static_cast<double>(group.width * (state.offsets[b + 1] - state.offsets[b]));
    ahead = ahead || group.width > 1;
    size_t at = 0;  // guesses behind us
    for (int64_t j = 0; j < group.width; ++j) {
      const int64_t i = group.first + j, begin = plan.row_begin[i];
      Plan step;
      step.clear();
      bool bad = false;
      for (int64_t r = begin; r < begin + plan.own[i]; ++r) {
        bad = bad || tokens[r] < 0;
        step.add_row(plan.positions[r], plan.events[r], plan.row_times[r]);
      }
      step.add_sequence(b, plan.ask[i] != 0, plan.times[i], plan.masked[i], plan.next_event[i]);
      if (bad) fail_bad(state, step, begin, logits, options);
      sampler_.place(state, step, &tokens[begin]);
      record(state, step, rows_from(logits, begin), options);
      advance(state, step, 0);
      pass_silent(state, b);
      bool right = true;
      const bool compared = at < guesses.tokens.size();
      for (int64_t r = begin; r < begin + plan.own[i] && at < guesses.tokens.size(); ++r, ++at) {
        const bool hit = tokens[r] == guesses.tokens[at];
        if (sampler_.ahead().adaptive()) windows_.hit.observe(guesses.gaps[at], j + 1, hit);
        right = right && hit;
      }
      if (compared) hits_ += right, guessed_ += 1;
      if (right && j + 1 < group.width) continue;
      done += static_cast<double>(j + 1) / static_cast<double>(groups_.size());
      guess(state, plan, i, tokens.data(), logits, options);
      break;
    }
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began_;
  windows_.observe(scored, seconds.count(), done, ahead);
}

// Throws, naming the row of the round that a step's first bad row is.
void Lookahead::fail_bad(State& state, const Plan& step, int64_t begin, const Logits& logits,
                         const Options& options) const {
  try {
    sampler_.tokens(state, step, rows_from(logits, begin), options, false);
  } catch (RowError& error) {
    error.row += begin;
    throw;
  }
}

// What copy i, the last right one, says of the steps after its own.
void Lookahead::guess(State& state, const Plan& plan, int64_t i, const int64_t* tokens, const Logits& logits,
                      const Options& options) const {
  Guesses& out = state.guesses[plan.sequences[i]];
  out = {};
  for (int64_t r = plan.row_begin[i] + plan.own[i]; r < plan.row_begin[i + 1] && tokens[r] >= 0; ++r) {
    const uint64_t base = sampler_.several_positions() ? base_of(plan.positions[r], logits.vocab) : 0;
    out.tokens.push_back(tokens[r]);
    out.gaps.push_back(sampler_.ahead().adaptive() ? score_gap(state, plan, i, r, tokens[r], base, logits, options)
                                                   : 0.0);
  }
}

}  // namespace pymdm::sample
