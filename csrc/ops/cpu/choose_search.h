// Searches the arg-max of Gumbel scores over columns [begin, end) of one row.
//
// Three sieves, coarse to fine, none of which can drop the winner (proof in ops/choose_lazy.h):
//   1. the largest logit of a lane of a chunk gives the largest high word that could still win there; one integer
//      comparison an element;
//   2. where some word of a group passes, logit and word together in float32 (choose_row.h);
//   3. what passes becomes a candidate with an upper and a lower bound; the lower bound raises the bar at once, and
//      only candidates whose upper bound still reaches it at the end, nearly always one, are evaluated in float64.
// The vector files see plain data and call the functions below, which are compiled once for the base processor: an
// inline function compiled with AVX-512 could be the copy the linker keeps for everybody. (What they use of
// choose_lazy.h is static.)
#pragma once

#include <cstdint>

#include "ops/choose.h"
#include "ops/choose_lazy.h"
#include "random/philox_row.h"

namespace pymdm::ops {

struct Candidate {
  int64_t column;
  double upper;  // S <= upper
};

constexpr int kCandidates = 256;

struct RowSearch {
  const void* logits;  // column 0 of the row
  DType dtype;
  const uint8_t* banned;  // or null
  int64_t begin, end;     // begin is a multiple of 4
  PhiloxRow philox;
  uint32_t k0[10], k1[10];  // round keys, for broadcasts
  LazyBound bound;
  float ordinary;  // chunks whose largest logit is at most this do not raise the bar by themselves
  bool bad;        // NaN or +inf seen
  // Kept here, decided at the end.
  uint64_t seed, sequence, base;
  uint32_t event;
  Purpose purpose;
  double score;    // best evaluated so far
  int64_t column;  // its column, -1 none
  int64_t count;
  Candidate candidates[kCandidates];
};

// Largest logit (as float32, -inf where all are banned) of columns [begin, end), and whether a NaN was among them.
struct Extent {
  float most;
  bool unordered;
};

// Opens a chunk: its largest logit raises the bar. False: nothing in it can
// win. An extent that is not finite is looked at element by element and sets
// bad.
bool open_chunk(RowSearch& search, Extent extent, int64_t begin, int64_t end);

// Elements begin + i, for the bits i of mask, passed the second sieve; word[i] are their high words.
void offer(RowSearch& search, int64_t begin, uint32_t mask, const uint32_t* word);

// One processor's versions.
struct SearchKernels {
  void (*search)(RowSearch&);
  Extent (*extent)(const void* logits, DType dtype, const uint8_t* banned, int64_t begin, int64_t end);
  // High words of the n columns from block first_block on; `out`, aligned to 64 bytes, has room for n rounded up to
  // kWordsAtOnce. Reads the row's philox and round keys only.
  void (*words)(const RowSearch& row, uint32_t first_block, int64_t n, uint32_t* out);
};

constexpr int64_t kWordsAtOnce = 128;

const SearchKernels& search_portable();
const SearchKernels& search_avx2();
const SearchKernels& search_avx512();

// The widest this processor has.
const SearchKernels& search_kernels();

// Sets a row's philox, for columns from begin on, and its round keys.
void address_row(RowSearch& search, const ChooseArgs& args, int64_t row, int64_t begin);

}  // namespace pymdm::ops
