#include "sample/run.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "core/error.h"
#include "sample/draw.h"
#include "sample/lookahead.h"
#include "sample/queue.h"

namespace pymdm::sample {
namespace {

// Planned sequences packed for the network, without padding.
struct Packed {
  std::vector<int64_t> tokens, offsets, rows, rank, owner;
  std::vector<double> times;

  void fill(const State& state, const Plan& plan) {
    tokens.clear(), rows.clear(), rank.clear(), owner.clear();
    offsets.assign(1, 0);
    times.clear();
    for (int64_t i = 0; i < plan.size(); ++i) {
      if (!plan.ask[i]) continue;
      const int64_t b = plan.sequences[i], first = offsets.back();
      times.push_back(plan.times[i]);
      tokens.insert(tokens.end(), state.tokens.begin() + state.offsets[b], state.tokens.begin() + state.offsets[b + 1]);
      rank.insert(rank.end(), state.rank.begin() + state.offsets[b], state.rank.begin() + state.offsets[b + 1]);
      owner.push_back(b);
      for (int64_t f = plan.fill_begin[i], next = state.unmasked[b]; f < plan.fill_begin[i + 1]; ++f) {
        tokens[first + plan.fills[f].position] = plan.fills[f].token;
        rank[first + plan.fills[f].position] = next++;
      }
      offsets.push_back(static_cast<int64_t>(tokens.size()));
      for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r) rows.push_back(first + plan.positions[r]);
    }
  }
};

template <class T>
Span<const T> view(const std::vector<T>& v) {
  return {v.data(), static_cast<int64_t>(v.size())};
}

// Sequences scored, and calls they took part in; the copies of a sequence stand beside each other.
void count(State& state, const Plan& plan) {
  for (int64_t i = 0; i < plan.size(); ++i) {
    if (!plan.ask[i]) continue;
    const int64_t b = plan.sequences[i];
    ++state.rows[b];
    state.rounds[b] += i == 0 || plan.sequences[i - 1] != b;
  }
}

// Forced tokens are ones that could have been drawn.
void check_forced(const State& state, int64_t vocab) {
  for (size_t i = 0; i < state.forced.size(); ++i)
    check(state.tokens[i] != state.mask_id ||
              (state.forced[i] >= 0 && state.forced[i] < vocab && state.forced[i] != state.mask_id),
          "sample", "forced tokens must be in [0, ", vocab, ") and not the mask, got ", state.forced[i]);
}

// What the planned rows' positions allow.
class AllowedRows {
 public:
  explicit AllowedRows(const RunOptions& options) : options_(options) {}

  void check_ids(int64_t vocab) const {
    for (const auto& [position, ids] : options_.allowed)
      for (const int64_t token : ids)
        check(token >= 0 && token < vocab, "sample", "allowed tokens must be in [0, ", vocab, "), got ", token,
              " at position ", position);
  }

  // [M], or null where no row is restricted.
  const ops::TokenSet* of(const Plan& plan) {
    if (options_.allowed.empty()) return nullptr;
    sets_.assign(plan.rows(), {});
    bool any = false;
    for (int64_t r = 0; r < plan.rows(); ++r) {
      const auto at = std::lower_bound(options_.allowed.begin(), options_.allowed.end(), plan.positions[r],
                                       [](const auto& entry, int64_t p) { return entry.first < p; });
      if (at == options_.allowed.end() || at->first != plan.positions[r]) continue;
      sets_[r] = view(at->second);
      any = true;
    }
    return any ? sets_.data() : nullptr;
  }

 private:
  const RunOptions& options_;
  std::vector<ops::TokenSet> sets_;
};

// Says of a bad row of logits which position of which sequence it is.
[[noreturn]] void fail_position(const State& state, const Plan& plan, const RowError& error) {
  int64_t i = 0;
  while (i + 1 < plan.size() && plan.row_begin[i + 1] <= error.row) ++i;
  if (error.row >= plan.rows()) fail("sample", "the logits' row ", error.row, " ", error.reason);
  const int64_t b = plan.sequences[i];
  fail("sample", "the logits of sequence ", b, " (id ", state.sequence[b], "), position ", plan.positions[error.row],
       ": the row ", error.reason);
}

}  // namespace

std::vector<uint8_t> never_drawn(const RunOptions& options, int64_t mask_id, int64_t vocab) {
  std::vector<uint8_t> banned(vocab, 0);
  if (mask_id < vocab) banned[mask_id] = 1;
  if (options.drawable > 0 && options.drawable < vocab)
    std::fill(banned.begin() + options.drawable, banned.end(), uint8_t{1});
  for (const int64_t token : options.banned) {
    check(token >= 0 && token < vocab, "sample", "banned tokens must be in [0, ", vocab, "), got ", token);
    banned[token] = 1;
  }
  return banned;
}

void run(State& state, const Sampler& sampler, Network& network, const RunOptions& options, const Watch& watch) {
  check_initialised(state);
  for (int64_t b = 0; b < state.size(); ++b) sampler.admit(state, b);
  const auto finished = [&](int64_t b) { return sampler.finished(state, b); };
  Queue queue(state.size(), options.batch_size, options.max_calls);
  Plan plan;
  Packed packed;
  Options draw = options.draw;
  AllowedRows allowed(options);
  std::optional<Lookahead> lookahead;
  if (const Drawing* drawing = sampler.drawing(); drawing != nullptr && !drawing->ahead().off())
    lookahead.emplace(*drawing, network.keeps());
  for (;;) {
    const std::vector<int64_t>& active = queue.next(finished);
    if (active.empty()) return;

    plan.clear();
    if (lookahead)
      lookahead->plan(state, active, plan);
    else
      for (const int64_t b : active) sampler.plan(state, b, plan);
    packed.fill(state, plan);
    Logits logits;
    if (!packed.times.empty()) {
      logits = network.logits({view(packed.tokens), view(packed.offsets), view(packed.rows), view(packed.times),
                               view(packed.rank), view(packed.owner)});
      if (state.vocab == 0) state.vocab = logits.vocab;
      check(logits.vocab == state.vocab && logits.vocab > 0, "sample", "the network gave ", logits.vocab,
            " logits a row after ", state.vocab);
      if (draw.banned.empty()) {
        draw.banned = never_drawn(options, state.mask_id, logits.vocab);
        allowed.check_ids(logits.vocab);
        check_forced(state, logits.vocab);
      }
      if (!sampler.only_draws() || lookahead || draw.top_k > 0 || draw.top_p < 1) logits = network.on_host(logits);
      logits.allowed = allowed.of(plan);
      state.calls += network.calls();
      queue.spend(network.calls());
    }
    count(state, plan);
    try {
      if (lookahead) {
        lookahead->write(state, plan, logits, draw);
      } else {
        sampler.write(state, plan, logits, draw);
        if (sampler.from_rows()) record(state, plan, logits, draw);
        for (int64_t i = 0; i < plan.size(); ++i) advance(state, plan, i);
      }
    } catch (const RowError& error) {
      fail_position(state, plan, error);
    }
    if (watch) watch(state);
  }
}

}  // namespace pymdm::sample
