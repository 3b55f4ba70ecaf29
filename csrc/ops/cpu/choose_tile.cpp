// The CUDA kernel's walk over a row, thread after thread, on a processor: a test of its arithmetic, its grid and its
// joining of parts. Threads meet in another order than on the device, which may change how many elements are evaluated
// but not which one wins.
#include "ops/choose_tile.h"

namespace pymdm::ops {
namespace {

template <DType kType>
TileBest choose_part(const ChooseArgs& a, int64_t row, int64_t begin, int64_t end) {
  const char* logits = tile_row<kType>(a, row);
  const bool wide = quads_aligned<kType>(logits);
  const PhiloxRow philox = tile_philox(a, row);
  const float slope = lazy_bound(a.temperature > 0 ? a.temperature : 1).slope;
  TileBest best{0, -1};
  uint32_t cut = ordered(-INFINITY);
  for (int pass = 0; pass < 2; ++pass) {  // 0: the first quad of each thread sets the cut
    const int64_t last = pass == 0 && begin + 4 * kTileThreads < end ? begin + 4 * kTileThreads : end;
    for (int64_t v = begin; v < last; v += 4) {
      const Quad q = load_quad<kType>(logits, a.banned, a.vocab, v, wide);
      const float most = quad_most(q);
      if (!(most < INFINITY) && quad_bad(logits, a.dtype, a.banned, a.vocab, v)) return TileBest{0, -2};
      if (a.temperature == 0) {
        for (int i = 0; i < 4; ++i)
          if (q.x[i] > -INFINITY || (a.dtype == DType::kFloat64 && v + i < a.vocab && !(a.banned && a.banned[v + i])))
            best = better(best, evaluate(a, logits, row, v + i));
        continue;
      }
      const Words4 w = philox_block(philox, philox.first_block + static_cast<uint32_t>(v >> 2));
      if (pass == 0) {
        const uint32_t first = ordered(first_cut(q, w, a.temperature, slope));
        cut = first > cut ? first : cut;
        continue;
      }
      if (!may_win(most, least_word(w), slope, from_ordered(cut))) continue;
      for (int i = 0; i < 4; ++i) {
        if (v + i >= a.vocab || (a.banned && a.banned[v + i]) || !may_win(q.x[i], w.w[i], slope, from_ordered(cut)))
          continue;
        const double x = load_element(logits, a.dtype, v + i);
        if (!(x > -INFINITY)) continue;
        const uint32_t raised = ordered(cut_from(a.temperature, x, w.w[i]));
        cut = raised > cut ? raised : cut;
        best = better(best, evaluate(a, logits, row, v + i));
      }
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
