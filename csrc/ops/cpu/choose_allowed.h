// Rows that may take some tokens only: a small set is looked at token by token, a large one as bans of the row.
#pragma once

#include <vector>

#include "ops/cpu/choose_part.h"

namespace pymdm::ops {

// Whether the row has a set that is small beside its n columns: a token evaluated whole costs about 64 that are sieved.
inline bool small_set(const ChooseArgs& args, int64_t row, int64_t n) {
  return args.allowed && args.allowed[row].data && 64 * args.allowed[row].size <= n;
}

// The choice among a row's set, as far as it is in columns [begin, end). `values` are the row's logits, or with
// `packed` those of the set alone, in its order. Only these are read.
Part choose_set(const ChooseArgs& args, int64_t row, const void* values, bool packed, int64_t begin, int64_t end);

// Bans of the row's columns [begin, end), indexed by column: args.banned, or where the row has a set `own`, which is
// filled there.
const uint8_t* bans_of(const ChooseArgs& args, int64_t row, int64_t begin, int64_t end, std::vector<uint8_t>& own);

}  // namespace pymdm::ops
