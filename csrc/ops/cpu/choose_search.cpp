#include "ops/cpu/choose_search.h"

#include <cmath>

#include "ops/convert.h"
#include "ops/cpu/choose_part.h"
#include "random/address.h"

namespace pymdm::ops {
namespace {

void evaluate(RowSearch& search, int64_t column) {
  const double x = load_element(search.logits, search.dtype, column);
  const uint64_t r = random_bits(search.seed, search.sequence, search.event, search.purpose,
                                 search.base + static_cast<uint64_t>(column));
  const double score = full_score(x, search.bound.inverse, r);
  if (search.column < 0 || score > search.score || (score == search.score && column < search.column)) {
    search.score = score;
    search.column = column;
  }
}

// Evaluates the candidates that can still win and forgets all.
void settle(RowSearch& search) {
  for (int64_t i = 0; i < search.count; ++i)
    if (!(search.candidates[i].upper < search.bound.keep)) evaluate(search, search.candidates[i].column);
  search.count = 0;
}

// Is there a NaN or +inf among the columns that are not banned?
bool any_bad(const RowSearch& search, int64_t begin, int64_t end) {
  for (int64_t v = begin; v < end; ++v) {
    const double x = load_element(search.logits, search.dtype, v);
    if ((std::isnan(x) || x == INFINITY) && !(search.banned && search.banned[v])) return true;
  }
  return false;
}

}  // namespace

namespace {

void raise_search(RowSearch& search, double lower) {
  raise(search.bound, lower);
  // Only saves calls of open_chunk: below this, most - 3.82 T is below best. Rounding does not matter.
  search.ordinary = static_cast<float>(std::fmin(search.bound.best - kGumbelMin * search.bound.temperature, 3e38));
}

}  // namespace

bool open_chunk(RowSearch& search, Extent extent, int64_t begin, int64_t end) {
  if (extent.unordered || extent.most == INFINITY) {  // +inf may also be a float64 beyond float32
    search.bad = any_bad(search, begin, end);
    if (search.bad) return false;
  }
  if (extent.most == -INFINITY && search.dtype != DType::kFloat64) return false;
  if (std::isfinite(extent.most))  // some element is at least this, less its rounding to float32, and has g > -3.82
    raise_search(search,
                 extent.most - 0x1p-23 * std::fabs(extent.most) - 1e-37 + kGumbelMin * search.bound.temperature);
  return !hopeless(word_exponent(search.bound, extent.most));
}

void offer(RowSearch& search, int64_t begin, uint32_t mask, const uint32_t* word) {
  LazyBound& bound = search.bound;
  for (; mask; mask &= mask - 1) {
    const int i = __builtin_ctz(mask);
    const int64_t column = begin + i;
    if (column >= search.end) return;  // the columns that fill the last vector
    const double x = load_element(search.logits, search.dtype, column);
    if (x == -INFINITY || (search.banned && search.banned[column])) continue;
    const double upper = x + bound.temperature * gumbel_upper(word[i]);
    if (upper < bound.keep) continue;
    raise_search(search, x + bound.temperature * gumbel_lower(word[i]));
    if (search.count == kCandidates) settle(search);
    search.candidates[search.count++] = Candidate{column, upper};
  }
}

void address_row(RowSearch& search, const ChooseArgs& args, int64_t row, int64_t begin) {
  const uint64_t first = (args.base ? args.base[row] : 0) + static_cast<uint64_t>(begin);
  const uint32_t word_purpose = 2 * static_cast<uint32_t>(args.purpose);
  search.philox =
      philox_row(key_of(args.seed), counter_of(args.sequence[row], args.event[row], word_purpose, first >> 2));
  for (uint32_t round = 0; round < 10; ++round) {
    search.k0[round] = search.philox.key.k0 + round * kPhiloxW0;
    search.k1[round] = search.philox.key.k1 + round * kPhiloxW1;
  }
}

Part choose_part(const SearchKernels& kernels, const ChooseArgs& args, int64_t row, const uint8_t* banned,
                 int64_t begin, int64_t end) {
  const uint64_t base = args.base ? args.base[row] : 0;
  RowSearch search;
  search.logits = static_cast<const char*>(args.logits) + row * args.row_stride * element_size(args.dtype);
  search.dtype = args.dtype;
  search.banned = banned;
  search.begin = begin;
  search.end = end;
  search.bound = lazy_bound(args.temperature);
  search.ordinary = -INFINITY;
  search.bad = false;
  search.seed = args.seed;
  search.sequence = args.sequence[row];
  search.event = args.event[row];
  search.purpose = args.purpose;
  search.base = base;
  search.score = -INFINITY;
  search.column = -1;
  search.count = 0;
  address_row(search, args, row, begin);
  kernels.search(search);
  settle(search);
  return Part{search.score, search.column, search.bad};
}

Part greedy_part(const SearchKernels& kernels, const ChooseArgs& args, int64_t row, const uint8_t* banned,
                 int64_t begin, int64_t end) {
  constexpr int64_t kStep = 1024;
  const void* logits = static_cast<const char*>(args.logits) + row * args.row_stride * element_size(args.dtype);
  Part best{-INFINITY, -1, false};
  for (int64_t chunk = begin; chunk < end; chunk += kStep) {
    const int64_t chunk_end = chunk + kStep < end ? chunk + kStep : end;
    const Extent extent = kernels.extent(logits, args.dtype, banned, chunk, chunk_end);
    // Rounding to float32 keeps order: a float64 chunk that holds the winner may look equal, never less.
    const float score = static_cast<float>(best.score);
    const bool look = extent.unordered || extent.most == INFINITY || extent.most > score ||
                      (args.dtype == DType::kFloat64 && extent.most == score);
    for (int64_t v = chunk; look && v < chunk_end; ++v) {
      if (banned && banned[v]) continue;
      const double x = load_element(logits, args.dtype, v);
      if (std::isnan(x) || x == INFINITY) return Part{0, -1, true};
      if (x > best.score) best = Part{x, v, false};
    }
  }
  return best;
}

}  // namespace pymdm::ops
