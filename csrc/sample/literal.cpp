#include "sample/literal.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "sample/draw.h"

namespace pymdm::sample {
namespace {

// Elements of the weights [rows, V + 1] in memory at once: 2 MB, which stay in cache; each thread has a row at least.
constexpr int64_t kElements = int64_t{1} << 18;

}  // namespace

void Literal::admit(const State& state, int64_t b) const {
  check_kept_rows(state, b, false);
  const Kept& kept = state.kept[b];
  if (static_cast<int64_t>(kept.positions.size()) != state.remaining[b]) return;  // they will be asked for again
  for (const int64_t l : kept.positions)
    if (state.tokens[state.offsets[b] + l] != state.mask_id) fail_kept(b);
}

void Literal::plan(const State& state, int64_t b, Plan& plan) const {
  const Kept& kept = state.kept[b];
  const int64_t step = state.event[b];
  check(step < static_cast<int64_t>(grid_.size()) - 1, "sample", "sequence ", b, " is at step ", step, " of a grid of ",
        grid_.size() - 1);
  const bool ask = !cache_ || static_cast<int64_t>(kept.positions.size()) != state.remaining[b];
  if (ask)
    for (const int64_t l : masked_positions(state, b)) plan.add_row(l, step, times_[step + 1]);
  plan.add_sequence(b, ask, times_[step], grid_[step + 1], step + 1);
}

// One class for each row of the kept outputs: a token, or the mask as class V. All sequences draw together, a chunk of
// rows at a time.
std::vector<int64_t> Literal::draw_classes(State& state, const std::vector<Row>& rows, int64_t vocab) const {
  std::vector<int64_t> classes(rows.size());
  const int64_t total = static_cast<int64_t>(rows.size()),
                chunk = std::max<int64_t>(num_threads(), kElements / (vocab + 1));
  std::vector<double> weights;
  for (int64_t begin = 0; begin < total; begin += chunk) {
    const int64_t n = std::min(chunk, total - begin);
    weights.resize(n * (vocab + 1));
    std::vector<uint64_t> sequence(n), base(n);
    std::vector<uint32_t> event(n);
    parallel_for(n, rows_at_once(vocab), [&](int64_t from, int64_t to) {
      for (int64_t r = from; r < to; ++r) {
        const Row& row = rows[begin + r];
        const Kept& kept = state.kept[row.sequence];
        const int64_t step = state.event[row.sequence];
        const double leave = (grid_[step] - grid_[step + 1]) / grid_[step], log_leave = std::log(leave);
        const double* score = &kept.scores[row.kept * vocab];
        double* weight = &weights[r * (vocab + 1)];
        for (int64_t v = 0; v < vocab; ++v) weight[v] = score[v] + log_leave;
        weight[vocab] = std::log1p(-leave);
        sequence[r] = state.sequence[row.sequence];
        event[r] = static_cast<uint32_t>(step);
        base[r] = base_of(kept.positions[row.kept], vocab + 1);
      }
    });
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
  std::vector<Row> rows;
  for (int64_t i = 0; i < plan.size(); ++i) {
    const int64_t b = plan.sequences[i], first = plan.row_begin[i], asked = plan.row_begin[i + 1] - first;
    Kept& kept = state.kept[b];
    if (plan.ask[i]) {
      kept.time = plan.times[i];
      kept.positions.assign(plan.positions.begin() + first, plan.positions.begin() + first + asked);
      kept.scores.resize(asked * logits.vocab);
      for (int64_t r = 0; r < asked; ++r) rows.push_back({b, r, first + r});
    } else {
      for (size_t r = 0; r < kept.positions.size(); ++r) rows.push_back({b, static_cast<int64_t>(r), -1});
    }
  }
  const int64_t vocab =
      static_cast<int64_t>(state.kept[rows[0].sequence].scores.size() / state.kept[rows[0].sequence].positions.size());
  parallel_for(static_cast<int64_t>(rows.size()), rows_at_once(vocab), [&](int64_t from, int64_t to) {
    for (int64_t r = from; r < to; ++r)
      if (rows[r].asked >= 0)
        log_probabilities(logits, rows[r].asked, options, &state.kept[rows[r].sequence].scores[rows[r].kept * vocab]);
  });
  const std::vector<int64_t> classes = draw_classes(state, rows, vocab);
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t b = rows[r].sequence;
    if (classes[r] == vocab) continue;
    const double log_prob =
        noise_ == ops::Noise::kExact ? state.kept[b].scores[rows[r].kept * vocab + classes[r]] : kNever;
    unmask(state, b, state.kept[b].positions[rows[r].kept], classes[r], times_[state.event[b] + 1], log_prob);
  }
}

}  // namespace pymdm::sample
