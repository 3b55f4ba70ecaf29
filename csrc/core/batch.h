// A packed ragged batch is what every network is asked about: our own, a device's, and a Python callable.
#pragma once

#include <cstdint>

#include "core/types.h"

namespace pymdm {

// Sequence b has tokens[offsets[b] .. offsets[b + 1]).
struct Batch {
  Span<const int64_t> tokens;   // [T]
  Span<const int64_t> offsets;  // [B + 1]
  Span<const int64_t> rows;     // [M] indices into tokens, any order
  Span<const double> times;     // [B] the time a time-conditioned network sees
  Span<const int64_t> rank;     // [T] when known tokens became known: 0, 1, ...; -1 where given; empty: all were given
  Span<const int64_t> owner;    // [B] whose cache a sequence has; copies of one stand beside each other
};

}  // namespace pymdm
