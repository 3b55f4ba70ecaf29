// Computes log-probabilities of a row in float64, for samplers that combine or compare distributions.
#pragma once

#include <cstdint>
#include <vector>

#include "core/types.h"

namespace pymdm::ops {

// log softmax(x / temperature) of `vocab` logits, -inf where banned[v] is nonzero (banned may be null). Temperature 0
// puts all mass on the arg-max, ties to the lowest index. Throws Error naming `row` where choose would.
void log_softmax(const void* logits, DType dtype, int64_t vocab, double temperature, const uint8_t* banned, int64_t row,
                 double* out);

}  // namespace pymdm::ops
