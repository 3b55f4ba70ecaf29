// A sampler is `init` and a pure step, cut in two where the network stands:
//   plan:   schedule and positions, never logits  ->  which rows of which sequences to score, and at what time
//   write:  logits and noise                      ->  tokens into the state
#pragma once

#include <cstdint>
#include <vector>

#include "sample/network.h"
#include "sample/state.h"

namespace pymdm::sample {

// Draws that are the same for every sampler.
struct Options {
  double temperature = 1.0;     // 0: arg-max, no noise
  std::vector<uint8_t> banned;  // [V]: nonzero is never drawn; made by the loop from RunOptions
  int64_t top_k = 0;            // 0: off
  double top_p = 1.0;           // 1: off
};

// What one step is to decide. Sequence i of the plan wants the rows row_begin[i] .. row_begin[i + 1] scored, if it asks
// the network at all.
struct Fill {
  int64_t position, token;  // a guess in a mask's place, for the network's eyes
};

struct Plan {
  std::vector<int64_t> sequences;   // [A] sequences of the state
  std::vector<uint8_t> ask;         // [A] whether the network is called on this sequence
  std::vector<double> times;        // [A] the time the network sees
  std::vector<int64_t> row_begin;   // [A + 1]
  std::vector<int64_t> own;         // [A] rows of this step's draws, at the front; the others are only read
  std::vector<int64_t> positions;   // [M] within the sequence
  std::vector<uint32_t> events;     // [M] event of the row's draw
  std::vector<double> row_times;    // [M] when the row is unmasked, if it is
  std::vector<double> masked;       // [A] m = 1 - alpha after this step
  std::vector<int64_t> next_event;  // [A] the sequence's next event
  std::vector<int64_t> fill_begin;  // [A + 1]
  std::vector<Fill> fills;

  int64_t size() const { return static_cast<int64_t>(sequences.size()); }
  int64_t rows() const { return static_cast<int64_t>(positions.size()); }

  void clear() {
    sequences.clear(), ask.clear(), times.clear(), row_begin.assign(1, 0), own.clear(), positions.clear(),
        events.clear();
    row_times.clear(), masked.clear(), next_event.clear(), fill_begin.assign(1, 0), fills.clear();
  }

  void add_row(int64_t position, int64_t event, double time) {
    positions.push_back(position), events.push_back(static_cast<uint32_t>(event)), row_times.push_back(time);
  }

  void add_fill(int64_t position, int64_t token) { fills.push_back({position, token}); }

  // Closes the rows and fills added since the last sequence, of which `own` rows are drawn, below 0 all.
  void add_sequence(int64_t b, bool asks, double time, double masked_after, int64_t event_after,
                    int64_t own_rows = -1) {
    sequences.push_back(b), ask.push_back(asks), times.push_back(time);
    own.push_back(own_rows < 0 ? rows() - row_begin.back() : own_rows);
    row_begin.push_back(rows()), masked.push_back(masked_after), next_event.push_back(event_after);
    fill_begin.push_back(static_cast<int64_t>(fills.size()));
  }
};

class Drawing;

class Sampler {
 public:
  virtual ~Sampler() = default;
  // Brings a state whose tokens are set to the start of the process: m = 1, event 0, masked positions counted.
  virtual void init(State& state) const;
  // Throws unless sequence b keeps what this sampler would have kept of earlier calls: by default nothing. With
  // check_progress this makes any state safe to continue.
  virtual void admit(const State& state, int64_t b) const;
  // Whether sequence b needs no further step. Until then it stays in the batch.
  virtual bool finished(const State& state, int64_t b) const { return state.remaining[b] == 0; }
  // Adds sequence b's wishes to the plan. The plan depends on addresses and the state alone.
  virtual void plan(const State& state, int64_t b, Plan& plan) const = 0;
  // Draws tokens for the planned rows and writes them.
  virtual void write(State& state, const Plan& plan, const Logits& logits, const Options& options) const = 0;
  // Whether `write` only draws with exact noise, and never reads a logit: then they may stay on a device.
  virtual bool only_draws() const { return false; }
  // Whether every token is drawn from its planned row's distribution, so that the loop can tell its log-probability.
  virtual bool from_rows() const { return true; }
  // This sampler as one whose later tokens can be guessed, if it is one.
  virtual const Drawing* drawing() const { return nullptr; }
};

}  // namespace pymdm::sample
