#include "model/layout.h"

#include <algorithm>
#include <numeric>

namespace pymdm::model {

void Layout::fit(const Batch& batch, bool shift) {
  const int64_t T = batch.tokens.size, B = batch.offsets.size - 1, M = batch.rows.size;
  sequence.resize(T), position.resize(T), slot.resize(T), slot_end.resize(B);
  all.clear(), chosen.clear();
  slots = 0;
  for (int64_t b = 0; b < B; ++b) {
    const int64_t first = batch.offsets[b], length = batch.offsets[b + 1] - first;
    for (int64_t l = 0; l < length; ++l) {
      sequence[first + l] = static_cast<int32_t>(b);
      position[first + l] = static_cast<int32_t>(l);
      slot[first + l] = slots + l;
    }
    slot_end[b] = slots + length;
    all.push_back({first, first + length, slots, length});
    slots += (length + ops::kKeyPanel - 1) / ops::kKeyPanel * ops::kKeyPanel;
  }

  std::vector<int64_t> wanted(batch.rows.begin(), batch.rows.end()), order(M);
  if (shift)
    for (int64_t& row : wanted) row -= position[row] > 0;
  std::iota(order.begin(), order.end(), 0);
  in_order = std::is_sorted(wanted.begin(), wanted.end());
  if (!in_order) std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return wanted[a] < wanted[b]; });
  rows.resize(M), place.resize(M), chosen_sequence.resize(M), chosen_position.resize(M);
  for (int64_t j = 0; j < M; ++j) {
    rows[j] = wanted[order[j]];
    place[order[j]] = j;
    chosen_sequence[j] = sequence[rows[j]];
    chosen_position[j] = position[rows[j]];
  }
  for (int64_t b = 0, j = 0; b < B; ++b) {
    const int64_t begin = j;
    while (j < M && chosen_sequence[j] == b) ++j;
    chosen.push_back({begin, j, all[b].slot, all[b].keys});
  }
}

}  // namespace pymdm::model
