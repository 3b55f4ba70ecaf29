// Where every token and every chosen row of a packed batch stands; what the operators need to know of raggedness.
#pragma once

#include <cstdint>
#include <vector>

#include "model/denoiser.h"
#include "ops/attention.h"

namespace pymdm::model {

struct Layout {
  std::vector<int32_t> sequence, position;  // [T]
  std::vector<int64_t> slot, slot_end;      // [T] where keys and values go; [B] end of each sequence's
  int64_t slots = 0;
  std::vector<ops::QuerySpan> all;  // [B] every token as a query

  // Chosen rows in the order of the tokens, so that each sequence's are consecutive.
  std::vector<int64_t> rows;                              // [M] token whose hidden state is wanted
  std::vector<int64_t> place;                             // [M] row i of the batch is chosen row place[i]
  std::vector<int32_t> chosen_sequence, chosen_position;  // [M]
  std::vector<ops::QuerySpan> chosen;                     // [B]
  bool in_order = true;                                   // place is the identity

  // `shift`: the scores of position l are read at l - 1 (the first position reads itself).
  void fit(const Batch& batch, bool shift);
};

}  // namespace pymdm::model
