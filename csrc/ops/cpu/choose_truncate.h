// Turns top-k and top-p of a row into a mask of the columns that stay.
#pragma once

#include <cstdint>

#include "ops/choose.h"

namespace pymdm::ops {

// Writes out[v] = 0 for the columns that stay, 1 for the others, and returns false where the row has NaN or +inf.
// Law: first the top_k highest logits, then of these the shortest prefix in order of descending logit whose share of
// their total probability at `temperature`, summed in float64 in that order, is at least top_p; equal logits in order
// of column. Columns with `banned` (which may be null, or be `out`) or -inf never stay.
bool truncate_row(const ChooseArgs& args, int64_t row, const uint8_t* banned, uint8_t* out);

}  // namespace pymdm::ops
