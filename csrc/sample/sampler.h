// A sampler is `init` and a pure step, cut in two where the network stands:
//   plan:  schedule and positions, never logits  ->  which rows of which sequences the network must score, and at what
//   time write: logits and noise                      ->  tokens into the state
#pragma once

#include <cstdint>
#include <vector>

#include "sample/network.h"
#include "sample/state.h"

namespace pymdm::sample {

// Draws that are the same for every sampler.
struct Options {
  double temperature = 1.0;     // 0: arg-max, no noise
  std::vector<uint8_t> banned;  // [V] or empty
  int64_t top_k = 0;            // 0: off
  double top_p = 1.0;           // 1: off
};

// What one network call is to decide. Sequence i of the plan wants the rows row_begin[i] .. row_begin[i + 1].
struct Plan {
  std::vector<int64_t> sequences;   // [A] batch slots in the state
  std::vector<double> times;        // [A] the time the network sees
  std::vector<int64_t> row_begin;   // [A + 1]
  std::vector<int64_t> positions;   // [M] within the sequence
  std::vector<uint32_t> events;     // [M] event of the row's draw
  std::vector<double> row_times;    // [M] when the row is unmasked, if it is
  std::vector<double> masked;       // [A] m after this step
  std::vector<int64_t> next_event;  // [A]

  void clear() {
    sequences.clear(), times.clear(), row_begin.assign(1, 0), positions.clear(), events.clear();
    row_times.clear(), masked.clear(), next_event.clear();
  }
};

class Sampler {
 public:
  virtual ~Sampler() = default;
  // Brings a state whose tokens are set to the start of the process.
  virtual void init(State& state) const = 0;
  // Adds sequence b's wishes to the plan. The plan depends on addresses and the state alone.
  virtual void plan(const State& state, int64_t b, Plan& plan) const = 0;
  // Draws tokens for the planned rows and writes them.
  virtual void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const = 0;
};

}  // namespace pymdm::sample
