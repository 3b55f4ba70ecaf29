// CPU emulation of the CUDA kernel of choose: same tiles, grid and joining of parts, thread after thread. Tests only.
// Threads meet in another order than on the device, which may change how many elements are evaluated but not which one
// wins.
#include "ops/choose_tile.h"

#include <algorithm>

namespace pymdm::ops {
namespace {

// Elements of a quad that reach the cut, evaluated.
template <DType kType>
TileBest best_of_quad(const ChooseArgs& a, int64_t row, int64_t v, float slope, float cut) {
  const char* logits = tile_row<kType>(a, row);
  const Quad q = load_quad<kType>(logits, a.banned, a.vocab, v, false);
  if (!(quad_most(q) < INFINITY) && quad_bad(logits, a.dtype, a.banned, a.vocab, v)) return TileBest{0, -2};
  const PhiloxRow philox = tile_philox(a, row);
  const Words4 w = philox_block(philox, philox.first_block + static_cast<uint32_t>(v >> 2));
  TileBest best{0, -1};
  for (int i = 0; i < 4 && v + i < a.vocab; ++i)
    if (!(a.banned && a.banned[v + i]) && may_win(q.x[i], w.w[i], slope, cut))
      best = better(best, evaluate(a, logits, row, v + i));
  return best;
}

template <DType kType>
TileBest choose_part(const ChooseArgs& a, int64_t row, int64_t begin, int64_t end) {
  const char* logits = tile_row<kType>(a, row);
  const bool wide = quads_aligned<kType>(logits);
  const PhiloxRow philox = tile_philox(a, row);
  TileBest best{0, -1};
  if (a.temperature == 0) {
    for (int64_t v = begin; v < end; v += 4) best = better(best, best_of_quad<kType>(a, row, v, 0, -INFINITY));
    return best;
  }
  const LazyBound bound = lazy_bound(a.temperature);
  TileTop tops[kTileThreads];
  for (int64_t v = begin; v < end; v += 4) {
    const uint32_t quad = static_cast<uint32_t>(v >> 2);
    const Quad q = load_quad<kType>(logits, a.banned, a.vocab, v, wide);
    see(tops[(quad - (begin >> 2)) % kTileThreads], quad_most(q),
        least_word(philox_block(philox, philox.first_block + quad)), bound.slope, quad);
  }
  uint32_t cut = ordered(-INFINITY);
  for (const TileTop& mine : tops) {
    if (mine.quad == kNoQuad) continue;
    const Quad q = load_quad<kType>(logits, a.banned, a.vocab, 4 * static_cast<int64_t>(mine.quad), wide);
    cut = std::max(cut, ordered(first_cut(q, philox_block(philox, philox.first_block + mine.quad), bound)));
  }
  const float least = from_ordered(cut);
  for (int thread = 0; thread < kTileThreads; ++thread) {
    const TileTop& mine = tops[thread];
    if (looks_again(mine, least)) {
      for (int64_t v = begin + 4 * thread; v < end; v += 4 * kTileThreads)
        best = better(best, best_of_quad<kType>(a, row, v, bound.slope, least));
    } else if (mine.quad != kNoQuad && !(mine.first < least)) {
      best = better(best, best_of_quad<kType>(a, row, 4 * static_cast<int64_t>(mine.quad), bound.slope, least));
    }
  }
  return best;
}

}  // namespace

void choose_tiles(const ChooseArgs& a) {
  const TileGrid grid = tile_grid(a.rows, a.vocab);
  for (int64_t row = 0; row < a.rows; ++row) {
    TileBest best{0, -1};
    for (int64_t part = 0; part < grid.parts; ++part) {
      const int64_t begin = part * grid.length, end = begin + grid.length < a.vocab ? begin + grid.length : a.vocab;
      switch (a.dtype) {
        case DType::kFloat32:
          best = better(best, choose_part<DType::kFloat32>(a, row, begin, end));
          break;
        case DType::kBFloat16:
          best = better(best, choose_part<DType::kBFloat16>(a, row, begin, end));
          break;
        case DType::kFloat16:
          best = better(best, choose_part<DType::kFloat16>(a, row, begin, end));
          break;
        case DType::kFloat64:
          best = better(best, choose_part<DType::kFloat64>(a, row, begin, end));
          break;
      }
    }
    a.token[row] = best.column < 0 ? -1 : best.column;
  }
}

}  // namespace pymdm::ops
