// Plans a call on a ragged batch: which rows are computed, which key and value slots they take, and what each attends
// to.
#pragma once

#include <cstdint>
#include <vector>

#include "model/cache.h"
#include "model/denoiser.h"
#include "ops/attention.h"

namespace pymdm::model {

struct Layout {
  std::vector<int64_t> tokens;              // [R] rows that are computed: all of the batch's but what a cache keeps
  std::vector<int32_t> sequence, position;  // [R]
  std::vector<int64_t> slot, slot_end;      // [R] where keys and values go (~r: row r beside); end of each sequence's
  std::vector<ops::Sight> sight;            // [R]
  int64_t slots = 0, beside = 0;            // in all, where there is no cache; rows beside the slots
  std::vector<ops::QuerySpan> all;          // of each sequence, every row as a query

  // Chosen rows in the order of the tokens, so that each sequence's are consecutive.
  std::vector<int64_t> rows;                              // [M] row whose hidden state is wanted
  std::vector<int64_t> place;                             // [M] row i of the batch is chosen row place[i]
  std::vector<int32_t> chosen_sequence, chosen_position;  // [M]
  std::vector<ops::Sight> chosen_sight;                   // [M]
  std::vector<ops::QuerySpan> chosen;                     // of each sequence
  bool in_order = true;                                   // place is the identity

  // Without a cache, or with one that then holds what the call computes. Scores of position l are read at l - 1 where
  // the config shifts them (the first position reads itself).
  void fit(const Config& config, const Batch& batch, Cache* cache);

 private:
  std::vector<Known> known(const Config& config, const Batch& batch, int64_t b, int64_t positions) const;
  int64_t needed(const Config& config, const Batch& batch, int64_t b, int64_t last, bool cached) const;
  void add(const Config& config, const Batch& batch, Cache* cache, int64_t begin, int64_t end,
           Span<const int64_t> wanted);
};

}  // namespace pymdm::model
