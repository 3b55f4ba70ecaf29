// What the rest of the package knows of a network of ours: packed tokens in, logits of the chosen rows out.
#pragma once

#include <cstdint>

#include "core/types.h"
#include "model/config.h"

namespace pymdm::model {

// A packed ragged batch: sequence b has tokens[offsets[b] .. offsets[b + 1]).
struct Batch {
  Span<const int64_t> tokens;   // [T]
  Span<const int64_t> offsets;  // [B + 1]
  Span<const int64_t> rows;     // [M] indices into tokens, any order
  Span<const double> times;     // [B] the time a time-conditioned network sees
  Span<const int64_t> rank;     // [T] when known tokens became known: 0, 1, ...; -1 where given; empty: all were given
  Span<const int64_t> owner;    // [B] whose cache a sequence has; copies of one stand beside each other
};

// Throws Error ("engine: ...") where a batch does not fit the network: lengths, token ids, rows, times.
void check_batch(const Config& config, const Batch& batch);

}  // namespace pymdm::model
