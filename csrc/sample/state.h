// The state is everything a sampling run remembers between two steps. It is plain data: copy it, save it, continue it
// elsewhere.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace pymdm::sample {

constexpr double kNever = std::numeric_limits<double>::quiet_NaN();

// Network output kept from an earlier call, for samplers that use one output twice or two together.
struct Kept {
  double time = kNever;            // the time the network was evaluated at
  std::vector<int64_t> positions;  // [K] positions within the sequence
  std::vector<double> scores;      // [K, V] log-probabilities
  std::vector<uint32_t> events;    // [K] event of each position's draw; may be empty
};

// Guesses of the tokens of the next planned rows, in their order, and how far each was ahead of the second best.
struct Guesses {
  std::vector<int64_t> tokens;  // [G]
  std::vector<double> gaps;     // [G]
};

struct State {
  // Fixed by the caller.
  int64_t mask_id = 0;
  uint64_t seed = 0;
  std::vector<int64_t> offsets;    // [B + 1] into tokens
  std::vector<uint64_t> sequence;  // [B] sequence ids
  std::string settings;            // the sampler and its options as JSON, for who saves the state; never read here

  // Per position, T = offsets[B] of them.
  std::vector<int64_t> tokens;   // [T] mask_id where still masked
  std::vector<double> times;     // [T] when the position was unmasked; NaN where it was given or is masked
  std::vector<double> log_prob;  // [T] of the token where it was drawn; NaN where given, masked or unknown
  std::vector<int64_t> forced;   // [T] tokens to take in place of what would be drawn (teacher forcing), or empty
  std::vector<int64_t> rank;     // [T] rank of its unmasking within its sequence; -1 where given or masked

  // Per sequence.
  std::vector<int64_t> remaining;  // [B] masked positions left
  std::vector<int64_t> unmasked;   // [B] positions unmasked since the start
  std::vector<int64_t> event;      // [B] number of the next event
  std::vector<double> masked;      // [B] m = 1 - alpha at the last event
  std::vector<int64_t> nfe;        // [B] network evaluations that its tokens need one after another
  std::vector<int64_t> rounds;     // [B] network calls it took part in; below nfe where guesses were right
  std::vector<int64_t> rows;       // [B] times that it, or a copy of it, was scored
  std::vector<Kept> kept;          // [B]
  std::vector<Guesses> guesses;    // [B]

  // Counts of the whole run.
  int64_t vocab = 0;  // V, the logits of a row; 0 before the first network call
  int64_t calls = 0;  // network calls
  int64_t draws = 0;  // categorical draws

  int64_t size() const { return static_cast<int64_t>(sequence.size()); }
  int64_t length(int64_t b) const { return offsets[b + 1] - offsets[b]; }
};

// Each throws an Error that says what is wrong. Together they hold of every state that a sampler can run on: no read
// or write that follows from the state alone is out of bounds, and no count overflows.
void check_start(const State& state);        // what the caller fixes: offsets, sequence ids, tokens, mask
void check_initialised(const State& state);  // a sampler's `init` has been called
void check_progress(const State& state);  // counts, ranks and times agree with the tokens; O(T) and one bit a position

// Sequences `which` of a state, in that order; counts of the whole run stay those of the run.
State select(const State& state, const std::vector<int64_t>& which);

}  // namespace pymdm::sample
