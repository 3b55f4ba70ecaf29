// Samplers share these steps: they draw the planned rows' tokens, write them and count.
#pragma once

#include <vector>

#include "core/error.h"
#include "ops/choose_emulated.h"
#include "random/address.h"
#include "sample/sampler.h"

namespace pymdm::sample {

// Tokens of the rows in `logits`, row r at the address (seed, sequence[r], event[r], purpose, base[r] + v). With
// `mark_bad` a row that cannot be drawn from gets -1, else it is an error.
struct Addresses {
  std::vector<uint64_t> sequence;  // [M]
  std::vector<uint32_t> event;     // [M]
  std::vector<uint64_t> base;      // [M], or empty for 0
  std::vector<int64_t> forced;     // [M] tokens to take without drawing, or empty
};
std::vector<int64_t> draw(State& state, const Addresses& at, const Logits& logits, const Options& options,
                          Purpose purpose, ops::Noise noise = ops::Noise::kExact, bool mark_bad = false);

// The rows from `row` on.
Logits rows_from(const Logits& logits, int64_t row);

// Tokens [M] of each sequence's own rows, of an event that decides several positions; -1 for rows that are only read.
std::vector<int64_t> draw_own(State& state, const Plan& plan, const Logits& logits, const Options& options);

// Addresses of all rows of a plan. An event that decides several positions gives each its own stretch of indices.
Addresses addresses(const State& state, const Plan& plan, bool several_positions, int64_t classes);

// Sequence b's token draws of one event begin at position * stride, a multiple of 4 so that blocks of four stay whole.
inline uint64_t base_of(int64_t position, int64_t classes) {
  const uint64_t stride = static_cast<uint64_t>(classes + 3) / 4 * 4, base = static_cast<uint64_t>(position) * stride;
  check(base + stride <= kMaxIndex + 1, "sample", "position ", position, " with ", classes,
        " classes is beyond the 2^34 numbers of one event");
  return base;
}

// Smallest number of rows of `vocab` elements for which starting another thread pays.
inline int64_t rows_at_once(int64_t vocab) { return vocab < 8192 ? 8192 / vocab : 1; }

// Row r of the network's answer as the logarithms of what is drawn from: mu at the temperature, without the banned
// tokens, cut to the row's set, truncated by top_k and top_p.
void log_probabilities(const Logits& logits, int64_t row, const Options& options, double* out);

// After a step of planned sequence i: its next event and m, and one network evaluation more if it asked.
void advance(State& state, const Plan& plan, int64_t i);

// Log-probabilities of the tokens that a step has drawn from the planned rows, where they are not set.
void record(State& state, const Plan& plan, const Logits& logits, const Options& options);

// Writes token, time, log-probability and rank of unmasking of one planned row.
void unmask(State& state, int64_t b, int64_t position, int64_t token, double time, double log_prob = kNever);

// Masks a drawn position again and closes the gap in the ranks: `rank` ranks the tokens that stand by their last draw.
void mask_again(State& state, int64_t b, int64_t position);

// Throws unless sequence b keeps K rows of V scores, with the event of each row or without.
void check_kept_rows(const State& state, int64_t b, bool with_events);

// Throws, in the words of Sampler::admit.
[[noreturn]] void fail_kept(int64_t b);

// Positions of sequence b that are masked, from the left.
std::vector<int64_t> masked_positions(const State& state, int64_t b);

}  // namespace pymdm::sample
