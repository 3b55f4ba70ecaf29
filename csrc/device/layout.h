// Plans where every token and every chosen row of a packed batch stands, for a network on a device. Sequences are
// ordered by length, so that those of one length are one dense piece of the packed tokens: attention takes them as [n,
// L] without padding or masks, and every linear layer sees the packed tokens alone.
#pragma once

#include <cstdint>
#include <vector>

#include "core/batch.h"

namespace pymdm::device {

// Consecutive sequences of one length. In the last block only chosen rows are queries, `queries` slots for each
// sequence: query_slots of the most rows that one of the group's has.
struct Group {
  int64_t sequences = 0, length = 0;
  int64_t token = 0;              // the first sequence's first token
  int64_t queries = 0, slot = 0;  // query slots of a sequence, and the group's first
};

struct Layout {
  std::vector<int64_t> order;               // [B] packed sequence i is the batch's sequence order[i]
  std::vector<int64_t> tokens;              // [T] packed
  std::vector<int32_t> position, sequence;  // [T] within the sequence; packed sequence
  std::vector<Group> groups;
  std::vector<int64_t> rows;      // [M] packed token whose hidden state is wanted, by sequence
  std::vector<int64_t> place;     // [M] the batch's row i is chosen row place[i]
  std::vector<int64_t> slot_row;  // [S] chosen row in each query slot; a sequence with fewer repeats one of the rows
  std::vector<int64_t> row_slot;  // [M]
  bool in_order = true;           // place is the identity
  bool dense = true;              // slot_row is the identity
};

// The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that holds `rows`, but no more than `length` where that suffices.
// Attention libraries make a plan for every new shape, so a run should meet few of them.
int64_t query_slots(int64_t rows, int64_t length);

// `shift`: the scores of position l are read at l - 1 (the first position reads itself).
Layout make_layout(const Batch& batch, bool shift);

// The groups of sequences whose lengths are given in packed order, each with `queries` chosen rows.
std::vector<Group> groups_of(const std::vector<int64_t>& lengths, int64_t queries);

}  // namespace pymdm::device
