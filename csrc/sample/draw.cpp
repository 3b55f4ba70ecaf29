#include "sample/draw.h"

#include "ops/choose.h"

namespace pymdm::sample {

std::vector<int64_t> draw_rows(const State& state, const Plan& plan, const Logits& logits, const Options& options,
                               Purpose purpose) {
  const int64_t rows = static_cast<int64_t>(plan.positions.size());
  std::vector<uint64_t> sequence(rows);
  for (size_t i = 0; i < plan.sequences.size(); ++i)
    for (int64_t r = plan.row_begin[i]; r < plan.row_begin[i + 1]; ++r) sequence[r] = state.sequence[plan.sequences[i]];
  std::vector<int64_t> tokens(rows);
  ops::ChooseArgs args;
  args.logits = logits.data;
  args.dtype = logits.dtype;
  args.rows = rows;
  args.vocab = logits.vocab;
  args.row_stride = logits.stride;
  args.seed = state.seed;
  args.purpose = purpose;
  args.sequence = sequence.data();
  args.event = plan.events.data();
  args.temperature = options.temperature;
  args.banned = options.banned.empty() ? nullptr : options.banned.data();
  args.top_k = options.top_k;
  args.top_p = options.top_p;
  args.token = tokens.data();
  ops::choose(args);
  return tokens;
}

void unmask(State& state, int64_t b, int64_t position, int64_t token, double time) {
  const int64_t at = state.offsets[b] + position;
  state.tokens[at] = token;
  state.times[at] = time;
  state.order[at] = state.unmasked[b]++;
  --state.remaining[b];
}

std::vector<int64_t> masked_positions(const State& state, int64_t b) {
  std::vector<int64_t> out;
  out.reserve(state.remaining[b]);
  for (int64_t i = state.offsets[b]; i < state.offsets[b + 1]; ++i)
    if (state.tokens[i] == state.mask_id) out.push_back(i - state.offsets[b]);
  return out;
}

void start(State& state) {
  const size_t batch = state.sequence.size(), total = state.tokens.size();
  state.times.assign(total, kNever);
  state.order.assign(total, -1);
  state.remaining.assign(batch, 0);
  state.unmasked.assign(batch, 0);
  state.event.assign(batch, 0);
  state.masked.assign(batch, 1.0);
  state.nfe.assign(batch, 0);
  state.kept.assign(batch, Kept{});
  state.calls = state.draws = 0;
  for (size_t b = 0; b < batch; ++b)
    for (int64_t i = state.offsets[b]; i < state.offsets[b + 1]; ++i)
      state.remaining[b] += state.tokens[i] == state.mask_id;
}

}  // namespace pymdm::sample
