#include "device/layout.h"

#include <algorithm>
#include <numeric>

namespace pymdm::device {

std::vector<Group> groups_of(const std::vector<int64_t>& lengths, int64_t queries) {
  std::vector<Group> out;
  int64_t token = 0, slot = 0;
  for (const int64_t length : lengths) {
    if (out.empty() || out.back().length != length) out.push_back({0, length, token, queries, slot});
    ++out.back().sequences;
    token += length, slot += queries;
  }
  return out;
}

int64_t query_slots(int64_t rows, int64_t length) {
  int64_t slots = 1;
  while (slots < rows) slots = slots == 1 ? 2 : slots % 3 == 0 ? slots / 3 * 4 : slots / 2 * 3;
  return rows == 0 ? 0 : rows <= length && slots > length ? length : slots;
}

Layout make_layout(const Batch& batch, bool shift) {
  const int64_t B = batch.offsets.size - 1, T = batch.tokens.size, M = batch.rows.size;
  const auto length = [&](int64_t b) { return batch.offsets[b + 1] - batch.offsets[b]; };
  Layout out;
  out.order.resize(B);
  std::iota(out.order.begin(), out.order.end(), 0);
  std::stable_sort(out.order.begin(), out.order.end(), [&](int64_t a, int64_t b) { return length(a) < length(b); });

  std::vector<int64_t> packed(T), lengths;  // where each of the batch's tokens goes
  for (int64_t i = 0; i < B; ++i) {
    const int64_t b = out.order[i];
    lengths.push_back(length(b));
    for (int64_t l = 0; l < length(b); ++l) {
      packed[batch.offsets[b] + l] = static_cast<int64_t>(out.tokens.size());
      out.tokens.push_back(batch.tokens[batch.offsets[b] + l]);
      out.position.push_back(static_cast<int32_t>(l));
      out.sequence.push_back(static_cast<int32_t>(i));
    }
  }

  std::vector<int64_t> wanted(M), by_token(M);
  for (int64_t r = 0; r < M; ++r) {
    const int64_t row = packed[batch.rows[r]];
    wanted[r] = row - (shift && out.position[row] > 0);
  }
  std::iota(by_token.begin(), by_token.end(), 0);
  out.in_order = std::is_sorted(wanted.begin(), wanted.end());
  std::stable_sort(by_token.begin(), by_token.end(), [&](int64_t a, int64_t b) { return wanted[a] < wanted[b]; });
  std::vector<int64_t> count(B, 0);
  out.place.resize(M);
  for (int64_t j = 0; j < M; ++j) {
    out.rows.push_back(wanted[by_token[j]]);
    out.place[by_token[j]] = j;
    ++count[out.sequence[out.rows[j]]];
  }

  out.groups = groups_of(lengths, 0);
  int64_t first = 0, row = 0;
  for (Group& group : out.groups) {
    for (int64_t i = first; i < first + group.sequences; ++i) group.queries = std::max(group.queries, count[i]);
    group.queries = query_slots(group.queries, group.length);
    group.slot = static_cast<int64_t>(out.slot_row.size());
    for (int64_t i = first; i < first + group.sequences; ++i)
      for (int64_t q = 0; q < group.queries; ++q) {
        if (q < count[i]) out.row_slot.push_back(static_cast<int64_t>(out.slot_row.size()));
        out.slot_row.push_back(q < count[i] ? row++ : std::max<int64_t>(row - 1, 0));
      }
    first += group.sequences;
  }
  out.dense = static_cast<int64_t>(out.slot_row.size()) == M;
  return out;
}

}  // namespace pymdm::device
