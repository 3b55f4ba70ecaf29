// The kernel functors of one call of the first-hitting sampler in the memory of a device: plan (hitting times, a
// uniform choice among the masked positions), and, when the network and choose have run, write. Host and device; the
// law and the addresses are those of first_hitting.h and hits.cpp, so the same logits give the same tokens. Nothing
// here waits for the host: sequences that have ended plan rows that are not valid and write nothing.
#pragma once

#include <cstdint>

#include "core/hostdev.h"
#include "core/launch.h"
#include "schedule/hitting.h"
#include "schedule/position.h"

namespace pymdm::sample {

// A sequences packed one after the other, T tokens in all; k rows are planned for each.
struct StepState {
  int64_t per_call = 1;  // k
  int64_t mask_id = 0;
  bool shift = false;                  // the scores of position l are read at l - 1
  const uint64_t* seed = nullptr;      // [1], in the device's memory so that a recorded launch serves every seed
  const int64_t* offsets = nullptr;    // [A + 1]
  const uint64_t* sequence = nullptr;  // [A] sequence ids

  int64_t* tokens = nullptr;                          // [T]
  int64_t* rank = nullptr;                            // [T]
  double* hit = nullptr;                              // [T] m = 1 - alpha at the position's event
  int64_t *unmasked = nullptr, *remaining = nullptr;  // [A]
  int64_t *event = nullptr, *nfe = nullptr;           // [A]
  double* masked = nullptr;                           // [A]
  int64_t* bad = nullptr;                             // [A] 1 + token index of a row that could not be drawn from, or 0

  // Planned rows, k a sequence.
  int64_t *row = nullptr, *source = nullptr;  // [A k] token index of the position, and of the row that scores it
  uint64_t* row_sequence = nullptr;           // [A k] address of the draw
  uint32_t* row_event = nullptr;              // [A k]
  double* row_masked = nullptr;               // [A k] m at the event
  int32_t* valid = nullptr;                   // [A k]
  const int64_t* token = nullptr;             // [A k] what choose drew
};

// One warp a sequence; a lane looks after a stretch of its positions.
struct PlanStep {
  StepState s;

  template <class Warp>
  PYMDM_HD void operator()(const Warp& warp, int64_t a) const {
    const int64_t begin = s.offsets[a], length = s.offsets[a + 1] - begin;
    const int64_t stretch = (length + kWarpLanes - 1) / kWarpLanes;
    const auto end_of = [&](int lane) {
      const int64_t end = (lane + 1) * stretch;
      return begin + (end < length ? end : length);
    };
    double m = s.masked[a];
    for (int64_t j = 0; j < s.per_call; ++j) {
      const int64_t first = a * s.per_call, slot = first + j;
      const auto count = warp.each([&](int lane) {
        int32_t n = 0;
        for (int64_t i = begin + lane * stretch; i < end_of(lane); ++i) n += still_masked(i, first, slot);
        return n;
      });
      const int64_t n = warp.sum(count);
      if (n == 0) {
        warp.run([&](int lane) {
          if (lane == 0) set_row(slot, begin, begin, a, 0, 0.0, false);
        });
        continue;
      }
      const auto event = static_cast<uint32_t>(s.event[a] + j);
      m = next_masked_probability(m, n, *s.seed, s.sequence[a], event);
      const auto rank = static_cast<int64_t>(uniform_integer(n, *s.seed, s.sequence[a], event, Purpose::kPosition));
      const auto before = warp.before(count);
      warp.run([&](int lane) {
        int64_t left = rank - warp.of(before, lane);  // masked positions of this lane to pass over
        if (left < 0 || left >= warp.of(count, lane)) return;
        for (int64_t i = begin + lane * stretch; i < end_of(lane); ++i)
          if (still_masked(i, first, slot) && left-- == 0) {
            set_row(slot, i, begin, a, event, m, true);
            return;
          }
      });
    }
  }

 private:
  // Masked, and not among the rows first .. last already planned in this call.
  PYMDM_HD bool still_masked(int64_t i, int64_t first, int64_t last) const {
    if (s.tokens[i] != s.mask_id) return false;
    for (int64_t r = first; r < last; ++r)
      if (s.row[r] == i) return false;
    return true;
  }

  PYMDM_HD void set_row(int64_t slot, int64_t i, int64_t begin, int64_t a, uint32_t event, double m, bool valid) const {
    s.row[slot] = i;
    s.source[slot] = s.shift && i > begin ? i - 1 : i;
    s.row_sequence[slot] = s.sequence[a];
    s.row_event[slot] = event;
    s.row_masked[slot] = m;
    s.valid[slot] = valid;
  }
};

// One thread a sequence. A row without a token marks its sequence as bad, and leaves it as it is.
struct WriteStep {
  StepState s;

  PYMDM_HD void operator()(int64_t a, int64_t) const {
    const int64_t first = a * s.per_call;
    int64_t hits = 0;
    for (; hits < s.per_call && s.valid[first + hits]; ++hits)
      if (s.token[first + hits] < 0) {
        s.bad[a] = s.row[first + hits] + 1;
        return;
      }
    if (hits == 0) return;
    for (int64_t j = 0; j < hits; ++j) {
      const int64_t i = s.row[first + j];
      s.tokens[i] = s.token[first + j];
      s.hit[i] = s.row_masked[first + j];
      s.rank[i] = s.unmasked[a] + j;
    }
    s.unmasked[a] += hits;
    s.remaining[a] -= hits;
    s.event[a] += hits;
    s.masked[a] = s.row_masked[first + hits - 1];
    ++s.nfe[a];
  }
};

}  // namespace pymdm::sample
