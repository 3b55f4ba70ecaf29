// The loop of choose over a row, written once for any vector width. Included by one source file a processor, each of
// which defines a type `Isa` in an unnamed namespace first; everything here has internal linkage for the same reason.
//
// A vector U holds kBlocks Philox counters in 64-bit lanes whose low halves count; F holds 2 kBlocks floats. One stream
// makes two U of words, which even() and odd() turn into the words of 4 kBlocks consecutive columns; kStreams streams
// run side by side to hide the latency of the multiplications (measured: 4 streams 10% faster than 2, 6 no faster).
#pragma once

#include <cstring>

#include "ops/cpu/choose_search.h"

namespace pymdm::ops {
namespace {

constexpr int kStreams = Isa::kStreams;
constexpr int kWidth = 2 * Isa::kBlocks;                // columns a vector of floats
constexpr int kVectors = 2 * kStreams;                  // vectors of floats a group
constexpr int64_t kGroup = int64_t{kWidth} * kVectors;  // columns a group
constexpr int64_t kChunk = 512;                         // columns that share their word limits
constexpr int64_t kAhead = 512;                         // columns between reading ahead and prefetching
constexpr int64_t kProduct = kPhiloxM0;
using U = Isa::U;
using F = Isa::F;
using Flag = Isa::Flag;  // remembers that a NaN was seen

template <DType kType>
constexpr int64_t kSize = kType == DType::kFloat64   ? 8
                          : kType == DType::kFloat32 ? 4
                                                     : 2;

// Columns i .. i + kWidth - 1 as floats; n < kWidth are real, the rest and the banned ones are -inf.
template <DType kType, bool kBanned>
inline F load(const void* logits, const uint8_t* banned, int64_t i) {
  const F x = Isa::template load<kType>(static_cast<const char*>(logits) + i * kSize<kType>);
  return kBanned ? Isa::ban(x, banned + i) : x;
}

template <DType kType, bool kBanned>
inline F load_some(const void* logits, const uint8_t* banned, int64_t i, int64_t n) {
  if (n >= kWidth) return load<kType, kBanned>(logits, banned, i);
  alignas(64) char raw[kWidth * kSize<kType>];
  uint8_t ban[kWidth] = {};
  for (int j = 0; j < kWidth; ++j) {
    const uint64_t infinity = kType == DType::kFloat64    ? 0xFFF0000000000000u
                              : kType == DType::kFloat32  ? 0xFF800000u
                              : kType == DType::kBFloat16 ? 0xFF80u
                                                          : 0xFC00u;
    memcpy(raw + j * kSize<kType>, &infinity, kSize<kType>);
  }
  if (n > 0) memcpy(raw, static_cast<const char*>(logits) + i * kSize<kType>, n * kSize<kType>);
  if (kBanned && n > 0) memcpy(ban, banned + i, n);
  return load<kType, kBanned>(raw, ban, 0);
}

template <DType kType, bool kBanned>
Extent extent_of(const void* logits, const uint8_t* banned, int64_t begin, int64_t end) {
  F most = Isa::all(-INFINITY);
  Flag unordered = Isa::no_flag();
  for (int64_t i = begin; i < end; i += kGroup) {
    for (int j = 0; j < kVectors; j += 2) {
      const int64_t at = i + j * kWidth;
      const F x = load_some<kType, kBanned>(logits, banned, at, end - at);
      const F y = load_some<kType, kBanned>(logits, banned, at + kWidth, end - at - kWidth);
      most = Isa::max(most, Isa::max(x, y));
      unordered = Isa::unordered(unordered, x, y);
    }
  }
  return Extent{Isa::largest(most), Isa::any(unordered)};
}

// Words of columns of counters n, n + kBlocks, ... in kVectors vectors, given the products M0 n of the first round,
// whose 64 bits grow by M0 a counter; before even() and odd().
inline void philox_group(const RowSearch& search, U products, U (&ab)[kStreams], U (&cd)[kStreams]) {
  const PhiloxRow& p = search.philox;
  U a[kStreams], b[kStreams], c[kStreams], d[kStreams];
#pragma GCC unroll 4
  for (int s = 0; s < kStreams; ++s) {  // rounds 1 and 2
    const U p0 = Isa::add(products, kProduct * s * Isa::kBlocks);
    const U p1 = Isa::mul1(Isa::flip(Isa::high(p0), p.c1));
    a[s] = Isa::flip(Isa::high(p1), p.a2);
    b[s] = p1;
    c[s] = Isa::flip(p0, p.c2);
    d[s] = Isa::word(p.d2);
  }
#pragma GCC unroll 7
  for (int round = 2; round < 9; ++round) {
#pragma GCC unroll 4
    for (int s = 0; s < kStreams; ++s) {
      const U p0 = Isa::mul0(a[s]), p1 = Isa::mul1(c[s]);
      a[s] = Isa::flip(Isa::high(p1), b[s], search.k0[round]);
      c[s] = Isa::flip(Isa::high(p0), d[s], search.k1[round]);
      b[s] = p1;
      d[s] = p0;
    }
  }
#pragma GCC unroll 4
  for (int s = 0; s < kStreams; ++s) {
    const U p0 = Isa::mul0(a[s]), p1 = Isa::mul1(c[s]);
    ab[s] = Isa::pack(p1, b[s], search.k0[9]);
    cd[s] = Isa::pack(p0, d[s], search.k1[9]);
  }
}

// Word limits of every lane. `lanes` holds the largest logits in the order of
// by_word(), `most` the largest of all. Rounding: where 1 <= z <= 32, the only
// region in which the digits of z matter, the largest logit M has |M| <= |keep|
// + 23 T, so that four roundings to float32 move z by less than 2^-22 (|keep| +
// 64 T) / T log 2: within keep's margin.
inline U limits_of(const LazyBound& bound, F lanes, float most) {
  const double unit = bound.inverse * (1 / kLog2);
  const float scale = static_cast<float>(unit), offset = static_cast<float>(32 - bound.keep * unit);
  if (!(scale <= FLT_MAX && offset <= FLT_MAX && offset >= -FLT_MAX))
    return Isa::word(word_limit(word_exponent(bound, most)));
  return Isa::limits(Isa::max(lanes, Isa::all(-FLT_MAX)), scale, offset);
}

// Second sieve of one group of columns from `begin`. True: something was
// offered.
template <DType kType, bool kBanned>
__attribute__((noinline)) bool sift(RowSearch& search, int64_t begin, const U (&ab)[kStreams],
                                    const U (&cd)[kStreams]) {
  const float slope = search.bound.slope, cut = search.bound.cut;
  const bool whole = search.end - begin >= kGroup;
  uint32_t keep[kVectors], any = 0;
#pragma GCC unroll 8
  for (int j = 0; j < kVectors; ++j) {
    const int64_t i = begin + j * kWidth;
    const F x = whole ? load<kType, kBanned>(search.logits, search.banned, i)
                      : load_some<kType, kBanned>(search.logits, search.banned, i, search.end - i);
    const U words = j % 2 ? Isa::odd(ab[j / 2], cd[j / 2]) : Isa::even(ab[j / 2], cd[j / 2]);
    any |= keep[j] = Isa::keep(x, words, slope, cut);
  }
  if (!any) return false;
  alignas(64) uint32_t words[kGroup];
  for (int s = 0; s < kStreams; ++s) {
    Isa::store(words + 2 * s * kWidth, Isa::even(ab[s], cd[s]));
    Isa::store(words + (2 * s + 1) * kWidth, Isa::odd(ab[s], cd[s]));
  }
  for (int j = 0; j < kVectors; ++j)
    if (keep[j]) offer(search, begin + j * kWidth, keep[j], words + j * kWidth);
  return true;
}

template <DType kType, bool kBanned>
void search_row(RowSearch& search) {
  const void* const logits = search.logits;
  const uint8_t* const banned = search.banned;
  const int64_t end = search.end;
  U products = Isa::mul0(Isa::blocks(search.philox.first_block));
  int64_t chunk = search.begin, chunk_end = chunk + kChunk < end ? chunk + kChunk : end;
  Extent extent = extent_of<kType, kBanned>(logits, banned, chunk, chunk_end);
  F lanes = Isa::all(extent.most);  // largest logit of every lane of the chunk, at least
  while (chunk < end) {
    const int64_t next_end = chunk_end + kChunk < end ? chunk_end + kChunk : end;
    // Nearly every chunk is ordinary: no NaN or infinity, and no logit so large
    // that it alone raises the bar. It is looked at here: calls lose the vector
    // registers, 4% of the whole (measured).
    bool none;
    if (extent.most <= search.ordinary && extent.most > -INFINITY && !extent.unordered)
      none = hopeless(word_exponent(search.bound, extent.most));
    else
      none = !open_chunk(search, extent, chunk, chunk_end);
    if (none) {
      if (search.bad) return;
      extent = extent_of<kType, kBanned>(logits, banned, chunk_end, next_end);
      lanes = Isa::all(extent.most);
      products = Isa::add(products, kProduct * (kChunk / 4));
    } else {
      // The next chunk is read while this one's words are made, so that memory and multipliers work at once.
      const bool ahead = next_end - chunk_end == kChunk;
      U limits = limits_of(search.bound, lanes, extent.most);
      F even = Isa::all(-INFINITY), odd = even;
      Flag unordered = Isa::no_flag();
      for (int64_t i = chunk; i < chunk_end; i += kGroup) {
        if (ahead) {
          const int64_t at = i + kChunk;
          const char* far = static_cast<const char*>(logits) + (at + kAhead) * kSize<kType>;
#pragma GCC unroll 16
          for (int64_t line = 0; line < kGroup * kSize<kType>; line += 64) __builtin_prefetch(far + line);
#pragma GCC unroll 4
          for (int j = 0; j < kVectors; j += 2) {
            const F x = load<kType, kBanned>(logits, banned, at + j * kWidth);
            const F y = load<kType, kBanned>(logits, banned, at + (j + 1) * kWidth);
            even = Isa::max(even, x);
            odd = Isa::max(odd, y);
            unordered = Isa::unordered(unordered, x, y);
          }
        }
        U ab[kStreams], cd[kStreams];
        const RowSearch* keys = &search;
        asm("" : "+r"(keys));  // round keys are broadcast from memory each time: hoisted, they spill
        philox_group(*keys, products, ab, cd);
        products = Isa::add(products, kProduct * (kGroup / 4));
        U least = Isa::min(ab[0], cd[0]);
#pragma GCC unroll 4
        for (int s = 1; s < kStreams; ++s) least = Isa::min(least, Isa::min(ab[s], cd[s]));
        if (__builtin_expect(Isa::any_at_most(least, limits), 0)) {
          if (sift<kType, kBanned>(search, i, ab, cd)) limits = limits_of(search.bound, lanes, extent.most);
        }
      }
      extent = ahead ? Extent{Isa::largest(Isa::max(even, odd)), Isa::any(unordered)}
                     : extent_of<kType, kBanned>(logits, banned, chunk_end, next_end);
      lanes = ahead ? Isa::by_word(even, odd) : Isa::all(extent.most);
    }
    chunk = chunk_end;
    chunk_end = next_end;
  }
}

template <bool kBanned>
void search_types(RowSearch& search) {
  switch (search.dtype) {
    case DType::kFloat32:
      return search_row<DType::kFloat32, kBanned>(search);
    case DType::kBFloat16:
      return search_row<DType::kBFloat16, kBanned>(search);
    case DType::kFloat16:
      return search_row<DType::kFloat16, kBanned>(search);
    case DType::kFloat64:
      return search_row<DType::kFloat64, kBanned>(search);
  }
}

void search_any(RowSearch& search) { search.banned ? search_types<true>(search) : search_types<false>(search); }

template <bool kBanned>
Extent extent_types(const void* logits, DType dtype, const uint8_t* banned, int64_t begin, int64_t end) {
  switch (dtype) {
    case DType::kFloat32:
      return extent_of<DType::kFloat32, kBanned>(logits, banned, begin, end);
    case DType::kBFloat16:
      return extent_of<DType::kBFloat16, kBanned>(logits, banned, begin, end);
    case DType::kFloat16:
      return extent_of<DType::kFloat16, kBanned>(logits, banned, begin, end);
    default:
      return extent_of<DType::kFloat64, kBanned>(logits, banned, begin, end);
  }
}

Extent extent_any(const void* logits, DType dtype, const uint8_t* banned, int64_t begin, int64_t end) {
  return banned ? extent_types<true>(logits, dtype, banned, begin, end)
                : extent_types<false>(logits, dtype, banned, begin, end);
}

void words_any(const RowSearch& row, uint32_t first_block, int64_t n, uint32_t* out) {
  static_assert(kWordsAtOnce % kGroup == 0);
  U products = Isa::mul0(Isa::blocks(first_block));
  for (int64_t i = 0; i < n; i += kGroup) {
    U ab[kStreams], cd[kStreams];
    philox_group(row, products, ab, cd);
    products = Isa::add(products, kProduct * (kGroup / 4));
    for (int s = 0; s < kStreams; ++s) {
      Isa::store(out + i + 2 * s * kWidth, Isa::even(ab[s], cd[s]));
      Isa::store(out + i + (2 * s + 1) * kWidth, Isa::odd(ab[s], cd[s]));
    }
  }
}

}  // namespace
}  // namespace pymdm::ops
