#include "model/layout.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace pymdm::model {
namespace {

int64_t most_seen(const std::vector<ops::Sight>& sights, int64_t begin) {
  int64_t most = 0;
  for (size_t i = begin; i < sights.size(); ++i) most = std::max(most, sights[i].past);
  return most;
}

// Known tokens in the order in which they became known; those that became known together see each other.
std::vector<Known> by_order(const Batch& batch, int64_t b, int64_t mask_id) {
  const int64_t first = batch.offsets[b], length = batch.offsets[b + 1] - first;
  std::vector<int64_t> found;
  for (int64_t l = 0; l < length; ++l)
    if (batch.tokens[first + l] != mask_id) found.push_back(l);
  const auto rank = [&](int64_t l) { return batch.rank.size == 0 ? -1 : batch.rank[first + l]; };
  std::stable_sort(found.begin(), found.end(), [&](int64_t a, int64_t c) { return rank(a) < rank(c); });
  std::vector<Known> out;
  const auto count = static_cast<int64_t>(found.size());
  for (int64_t i = 0, end = 0; i < count; ++i) {
    while (end < count && rank(found[end]) <= rank(found[i])) ++end;
    out.push_back({batch.tokens[first + found[i]], static_cast<int32_t>(found[i]), end});
  }
  return out;
}

}  // namespace

// What the slots of sequence b hold; by position the first `positions` of them, where the kind does not go by order.
std::vector<Known> Layout::known(const Config& c, const Batch& batch, int64_t b, int64_t positions) const {
  if (c.attention == Attention::kAnyOrder) return by_order(batch, b, c.mask_id);
  const int64_t first = batch.offsets[b], length = batch.offsets[b + 1] - first, K = c.block_length;
  std::vector<Known> out;
  for (int64_t l = 0; l < positions; ++l) {
    const int64_t past = c.attention == Attention::kCausal  ? l + 1
                         : c.attention == Attention::kBlock ? std::min(length, (l / K + 1) * K)
                                                            : length;
    out.push_back({batch.tokens[first + l], static_cast<int32_t>(l), past});
  }
  return out;
}

// Sequences begin .. end of the batch, copies of one that differ in what is known last; `wanted` of their tokens,
// sorted.
void Layout::add(const Config& c, const Batch& batch, Cache* cache, int64_t begin, int64_t end,
                 Span<const int64_t> wanted) {
  const bool any_order = c.attention == Attention::kAnyOrder;
  check(end == begin + 1 || any_order, "engine", "copies of a sequence need attention any-order");
  const int64_t length = batch.offsets[begin + 1] - batch.offsets[begin];
  int64_t positions = length;  // that are computed
  if (cache != nullptr && !any_order) {
    const int64_t last = wanted.size == 0 ? 0 : wanted[wanted.size - 1] - batch.offsets[begin] + 1;
    positions = c.attention == Attention::kCausal
                    ? last
                    : std::min(length, (last + c.block_length - 1) / c.block_length * c.block_length);
  }
  const std::vector<Known> now = known(c, batch, end - 1, positions);
  std::vector<int64_t> slot_of(length, -1);
  for (size_t s = 0; s < now.size(); ++s) slot_of[now[s].position] = static_cast<int64_t>(s);

  // A mask of an any-order network is a query of its own beside the slots; what else is wanted stands in a slot.
  int64_t kept = 0, b = begin;
  const auto position_of = [&](int64_t token) {
    while (token >= batch.offsets[b + 1]) ++b;
    return token - batch.offsets[b];
  };
  const auto is_query = [&](int64_t token) { return any_order && batch.tokens[token] == c.mask_id; };
  int64_t base = slots;
  if (cache != nullptr) {
    kept = static_cast<int64_t>(now.size());
    for (const int64_t token : wanted) {
      const int64_t l = position_of(token);
      if (!is_query(token)) kept = std::min(kept, slot_of[l]);
    }
    kept = unchanged(cache->known(batch.owner[begin]), now, kept);
    cache->keep(batch.owner[begin], now);
    base = cache->first_slot(batch.owner[begin]);
  } else {
    slots += (length + ops::kKeyPanel - 1) / ops::kKeyPanel * ops::kKeyPanel;
    slot_end.push_back(base + static_cast<int64_t>(now.size()));
  }

  const auto first_row = static_cast<int64_t>(tokens.size()), first_chosen = static_cast<int64_t>(rows.size());
  const auto add_row = [&](int64_t token, int64_t of, int64_t l, int64_t at, const ops::Sight& sees) {
    tokens.push_back(token), sequence.push_back(static_cast<int32_t>(of)), position.push_back(static_cast<int32_t>(l));
    slot.push_back(at), sight.push_back(sees);
  };
  for (int64_t s = kept; s < static_cast<int64_t>(now.size()); ++s)
    add_row(now[s].token, end - 1, now[s].position, base + s, {now[s].past, 0, 0});
  b = begin;
  int64_t of = -1, seen = 0;  // the copy whose tokens are known, and how many
  for (const int64_t token : wanted) {
    const int64_t l = position_of(token);
    int64_t row = first_row + slot_of[l] - kept;
    if (any_order && b != of) {
      const std::vector<Known> own = b == end - 1 ? now : by_order(batch, b, c.mask_id);
      of = b, seen = static_cast<int64_t>(own.size());
      check(seen <= static_cast<int64_t>(now.size()) && std::equal(own.begin(), own.end(), now.begin()), "engine",
            "copies of a sequence must differ in what is known last");
    }
    if (is_query(token)) {
      row = static_cast<int64_t>(tokens.size());
      add_row(c.mask_id, b, l, ~beside, {seen, beside, beside + 1});
      ++beside;
    }
    rows.push_back(row);
    chosen_sequence.push_back(sequence[row]), chosen_position.push_back(position[row]);
    chosen_sight.push_back(sight[row]);
  }
  all.push_back({first_row, static_cast<int64_t>(tokens.size()), base, most_seen(sight, first_row)});
  chosen.push_back({first_chosen, static_cast<int64_t>(rows.size()), base, most_seen(chosen_sight, first_chosen)});
}

void Layout::fit(const Config& config, const Batch& batch, Cache* cache) {
  const int64_t B = batch.offsets.size - 1, M = batch.rows.size;
  tokens.clear(), sequence.clear(), position.clear(), slot.clear(), slot_end.clear(), sight.clear();
  all.clear(), rows.clear(), chosen_sequence.clear(), chosen_position.clear(), chosen_sight.clear(), chosen.clear();
  slots = beside = 0;

  std::vector<int64_t> wanted(batch.rows.begin(), batch.rows.end()), order(M), sorted(M);
  if (config.logit_shift)
    for (int64_t& row : wanted) row -= *(std::upper_bound(batch.offsets.begin(), batch.offsets.end(), row) - 1) < row;
  std::iota(order.begin(), order.end(), 0);
  in_order = std::is_sorted(wanted.begin(), wanted.end());
  if (!in_order) std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return wanted[a] < wanted[b]; });
  place.resize(M);
  for (int64_t j = 0; j < M; ++j) sorted[j] = wanted[order[j]], place[order[j]] = j;

  if (cache != nullptr) {
    int64_t longest = 0;
    for (int64_t b = 0; b < B; ++b) longest = std::max(longest, batch.offsets[b + 1] - batch.offsets[b]);
    cache->admit(batch.owner, longest);
  }
  for (int64_t b = 0, j = 0; b < B;) {
    int64_t end = b + 1, to = j;
    while (cache != nullptr && end < B && batch.owner[end] == batch.owner[b]) ++end;
    while (to < M && sorted[to] < batch.offsets[end]) ++to;
    add(config, batch, cache, b, end, {sorted.data() + j, to - j});
    b = end, j = to;
  }
}

}  // namespace pymdm::model
