// Chooses among columns [begin, end) of a row, the unit of work of one thread of choose.cpp.
#pragma once

#include "ops/cpu/choose_search.h"

namespace pymdm::ops {

struct Part {
  double score;
  int64_t column;  // -1: nothing above -inf that is not banned
  bool bad;        // NaN or +inf
};

// Gumbel-max at temperature > 0; begin is a multiple of 4.
Part choose_part(const SearchKernels& kernels, const ChooseArgs& args, int64_t row, const uint8_t* banned,
                 int64_t begin, int64_t end);

// The largest logit (temperature 0).
Part greedy_part(const SearchKernels& kernels, const ChooseArgs& args, int64_t row, const uint8_t* banned,
                 int64_t begin, int64_t end);

}  // namespace pymdm::ops
