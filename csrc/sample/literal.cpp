#include "sample/literal.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "sample/draw.h"

namespace pymdm::sample {
namespace {

// Rows whose weights [rows, V + 1] are in memory at once.
constexpr int64_t kChunk = 64;

}  // namespace

void Literal::plan(const State& state, int64_t b, Plan& plan) const {
  const Kept& kept = state.kept[b];
  const int64_t step = state.event[b];
  const bool ask = !cache_ || static_cast<int64_t>(kept.positions.size()) != state.remaining[b];
  if (ask)
    for (const int64_t l : masked_positions(state, b)) plan.add_row(l, step, times_[step + 1]);
  plan.add_sequence(b, ask, times_[step], grid_[step + 1], step + 1);
}

// One class per kept position: a token, or the mask as class V.
std::vector<int64_t> Literal::draw_sequence(State& state, int64_t b, int64_t step) const {
  const Kept& kept = state.kept[b];
  const int64_t rows = static_cast<int64_t>(kept.positions.size());
  const int64_t vocab = static_cast<int64_t>(kept.scores.size()) / rows;
  const double leave = (grid_[step] - grid_[step + 1]) / grid_[step];
  const double log_leave = std::log(leave), log_stay = std::log1p(-leave);
  std::vector<int64_t> classes(rows);
  std::vector<double> weights(std::min(rows, kChunk) * (vocab + 1));
  for (int64_t begin = 0; begin < rows; begin += kChunk) {
    const int64_t n = std::min(kChunk, rows - begin);
    parallel_for(n, 1, [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r) {
        const double* score = &kept.scores[(begin + r) * vocab];
        double* weight = &weights[r * (vocab + 1)];
        for (int64_t v = 0; v < vocab; ++v) weight[v] = score[v] + log_leave;
        weight[vocab] = log_stay;
      }
    });
    std::vector<uint64_t> sequence(n, state.sequence[b]), base(n);
    for (int64_t r = 0; r < n; ++r) base[r] = kept.positions[begin + r] * stride_of(vocab + 1);
    const std::vector<uint32_t> event(n, static_cast<uint32_t>(step));
    ops::ChooseArgs args;
    args.logits = weights.data();
    args.dtype = DType::kFloat64;
    args.rows = n;
    args.vocab = args.row_stride = vocab + 1;
    args.seed = state.seed;
    args.purpose = Purpose::kLiteral;
    args.sequence = sequence.data();
    args.event = event.data();
    args.base = base.data();
    args.token = &classes[begin];
    ops::choose_emulated(args, noise_);
    state.draws += n;
  }
  return classes;
}

void Literal::write(State& state, const Plan& plan, const Logits& logits, const Options& options) const {
  check(options.temperature > 0 && options.top_k == 0 && options.top_p == 1, "sample",
        "the literal form needs a temperature above 0 and neither top_k nor top_p");
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i], first = plan.row_begin[i], rows = plan.row_begin[i + 1] - first;
    const int64_t step = state.event[b];
    Kept& kept = state.kept[b];
    if (plan.ask[i]) {
      kept.time = plan.times[i];
      kept.positions.assign(plan.positions.begin() + first, plan.positions.begin() + first + rows);
      kept.scores.resize(rows * logits.vocab);
      parallel_for(rows, 1, [&](int64_t from, int64_t to) {
        for (int64_t r = from; r < to; ++r)
          log_probabilities(logits, first + r, options, &kept.scores[r * logits.vocab]);
      });
    }
    const int64_t mask_class = static_cast<int64_t>(kept.scores.size() / kept.positions.size());
    const std::vector<int64_t> classes = draw_sequence(state, b, step);
    for (size_t r = 0; r < classes.size(); ++r)
      if (classes[r] != mask_class) unmask(state, b, kept.positions[r], classes[r], times_[step + 1]);
  }
}

}  // namespace pymdm::sample
