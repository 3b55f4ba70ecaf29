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

bool has_mask(const Config& c, const Batch& batch, int64_t b, int64_t from, int64_t to) {
  const int64_t* const tokens = batch.tokens.begin() + batch.offsets[b];
  return std::find(tokens + from, tokens + to, c.mask_id) != tokens + to;
}

}  // namespace

// What the slots of sequence b hold; by position the first `positions` of them, where the kind does not go by order.
std::vector<Known> Layout::known(const Config& c, const Batch& batch, int64_t b, int64_t positions) const {
  if (c.attention == Attention::kAnyOrder) return by_order(batch, b, c.mask_id);
  const int64_t first = batch.offsets[b], length = batch.offsets[b + 1] - first, K = c.block_length;
  std::vector<Known> out;
  int64_t block_end = 0;  // what the rows of the block see, or 0: up to their own position
  for (int64_t l = 0; l < positions; ++l) {
    if (c.attention == Attention::kBlock && l % K == 0) {
      block_end = std::min(length, l + K);
      if (c.causal_context && !has_mask(c, batch, b, l, block_end)) block_end = 0;
    }
    const int64_t past = c.attention == Attention::kCausal || (c.attention == Attention::kBlock && block_end == 0)
                             ? l + 1
                         : c.attention == Attention::kBlock ? block_end
                                                            : length;
    out.push_back({batch.tokens[first + l], static_cast<int32_t>(l), past});
  }
  return out;
}

// How many positions of sequence b the slots hold for rows of which the last is `last`. Of a block network the finished
// blocks before it; of a causal one with a cache what is known (the first input is the start, a mask); of others all.
int64_t Layout::needed(const Config& c, const Batch& batch, int64_t b, int64_t last, bool cached) const {
  const int64_t first = batch.offsets[b], length = batch.offsets[b + 1] - first, K = c.block_length;
  if (c.attention == Attention::kBlock) {
    int64_t finished = 0;
    while (finished <= last && !has_mask(c, batch, b, finished, std::min(length, finished + K))) finished += K;
    return std::min(finished, std::max<int64_t>(last, 0) / K * K);
  }
  if (!cached || c.attention != Attention::kCausal) return length;
  int64_t known = std::min<int64_t>(1, last + 1);
  while (known <= last && batch.tokens[first + known] != c.mask_id) ++known;
  return known;
}

// Sequences begin .. end of the batch, copies of one that differ in what is known last; `wanted` of their tokens,
// sorted. What a row sees depends on its sequence alone, so that it has the same bits whatever else is wanted:
//   any-order    the known tokens of its copy, in slots, and where it is a mask itself, beside them
//   block        the blocks before its own and before the first with a mask, in slots; from there to its block, beside
//   causal       the slots up to its own; with a cache masks that stand where a token is not known yet are beside
void Layout::add(const Config& c, const Batch& batch, Cache* cache, int64_t begin, int64_t end,
                 Span<const int64_t> wanted) {
  const bool any_order = c.attention == Attention::kAnyOrder, block = c.attention == Attention::kBlock;
  const int64_t K = c.block_length, length = batch.offsets[begin + 1] - batch.offsets[begin];
  std::vector<int64_t> last(end - begin, -1);  // of each copy's wanted positions
  int64_t b = begin;
  const auto position_of = [&](int64_t token) {
    while (token >= batch.offsets[b + 1]) ++b;
    return token - batch.offsets[b];
  };
  for (const int64_t token : wanted) {
    const int64_t l = position_of(token);
    last[b - begin] = l;
  }
  const auto needed_of = [&](int64_t copy) { return needed(c, batch, copy, last[copy - begin], cache != nullptr); };
  int64_t most = 0;
  for (int64_t copy = begin; copy < end; ++copy) most = std::max(most, needed_of(copy));
  const std::vector<Known> now = known(c, batch, end - 1, most);
  const auto full = static_cast<int64_t>(now.size());
  std::vector<int64_t> slot_of(length, -1);
  for (int64_t s = 0; s < full; ++s) slot_of[now[s].position] = s;
  const auto in_slot = [&](int64_t token, int64_t l) {
    return any_order ? batch.tokens[token] != c.mask_id : !block && slot_of[l] >= 0;
  };

  int64_t kept = 0, base = slots;
  if (cache != nullptr) {
    kept = full;
    b = begin;
    for (const int64_t token : wanted) {
      const int64_t l = position_of(token);
      if (in_slot(token, l)) kept = std::min(kept, slot_of[l]);
    }
    kept = unchanged(cache->known(batch.owner[begin]), now, kept);
    cache->keep(batch.owner[begin], now);
    base = cache->first_slot(batch.owner[begin]);
  } else {
    slots += (full + ops::kKeyPanel - 1) / ops::kKeyPanel * ops::kKeyPanel;
    slot_end.push_back(base + full);
  }

  const auto first_row = static_cast<int64_t>(tokens.size()), first_chosen = static_cast<int64_t>(rows.size());
  const auto add_row = [&](int64_t token, int64_t of, int64_t l, int64_t at, const ops::Sight& sees) {
    tokens.push_back(token), sequence.push_back(static_cast<int32_t>(of)), position.push_back(static_cast<int32_t>(l));
    slot.push_back(at), sight.push_back(sees);
  };
  for (int64_t s = kept; s < full; ++s) add_row(now[s].token, end - 1, now[s].position, base + s, {now[s].past, 0, 0});

  // Rows beside the slots: positions from .. to of copy `of`, which see the first `past` slots and of the group what
  // stands no later, or in their block.
  const auto add_group = [&](int64_t of, int64_t from, int64_t to, int64_t past) {
    const auto row = static_cast<int64_t>(tokens.size()), own = beside;
    for (int64_t l = from; l < to; ++l, ++beside) {
      const int64_t start = block ? l / K * K : l, stop = std::min(length, start + (block ? K : 1));
      const bool whole = !c.causal_context || has_mask(c, batch, of, start, stop);
      add_row(batch.tokens[batch.offsets[of] + l], of, l, ~beside, {past, own, own + (whole ? stop : l + 1) - from});
    }
    return row;
  };
  b = begin;
  int64_t of = -1, seen = 0, group = -1, group_row = 0;  // the copy at hand, its slots, where its group begins
  for (const int64_t token : wanted) {
    const int64_t l = position_of(token);
    if (b != of) {
      const std::vector<Known> own = end == begin + 1 ? now : known(c, batch, b, needed_of(b));
      of = b, seen = static_cast<int64_t>(own.size()), group = -1;
      check(seen <= full && std::equal(own.begin(), own.end(), now.begin()), "engine",
            "copies of a sequence must differ in what is known last");
    }
    int64_t row = 0;
    if (in_slot(token, l)) {
      row = first_row + slot_of[l] - kept;
    } else if (any_order) {
      row = add_group(b, l, l + 1, seen);
    } else {
      const int64_t from = block ? std::min(seen, l / K * K) : seen;
      if (from != group) {
        const int64_t until = from < seen ? l : last[b - begin];
        group = from, group_row = add_group(b, from, block ? std::min(length, (until / K + 1) * K) : until + 1, from);
      }
      row = group_row + l - group;
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
