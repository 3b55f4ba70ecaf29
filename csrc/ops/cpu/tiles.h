// The loop over tiles that every linear layer shares: product of one panel of weights with one strip of rows into a
// scratch tile, then `epilogue(first_row, rows, panel, tile)` writes it where it belongs.
#pragma once

#include <algorithm>

#include "core/parallel.h"
#include "ops/cpu/product.h"
#include "ops/linear.h"

namespace pymdm::ops {

constexpr int64_t kStrip = 64;  // rows of a tile

// Float scratch of the calling thread, valid until the thread asks again.
float* scratch(int64_t floats);

// Where the weights of tile t begin, if another panel than `panel` is read for it: of w, or of what is multiplied next.
inline const char* tile_after(const Packed& w, int64_t panel, int64_t t, int64_t tiles, int64_t strips) {
  if (t < tiles) return t / strips > panel ? w.tile(t / strips, 0) : nullptr;
  if (w.then == nullptr || w.then->panel != w.panel) return nullptr;
  return w.then->tile(std::min((t - tiles) / strips, w.then->panels - 1), 0);
}

// Strips are equally long but for one row. While a thread computes a tile, it reads the weights of the tile that will
// probably be its next.
template <class Epilogue>
void for_tiles(const Packed& w, const Matrix& x, int64_t m, const Epilogue& epilogue) {
  const Product product(w.dtype);
  const int64_t strips = (m + kStrip - 1) / kStrip, tiles = w.panels * strips, threads = num_threads();
  const auto first_row = [&](int64_t strip) { return strip * m / strips; };
  parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    float* tile = scratch(kStrip * w.panel);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t panel = t / strips, first = first_row(t % strips), rows = first_row(t % strips + 1) - first;
      const char* coming = tile_after(w, panel, t + threads, tiles, strips);
      for (int64_t i = 0; i < w.blocks; ++i) {
        const char* next = i + 1 < w.blocks ? w.tile(panel, i + 1) : coming;
        product(rows, w.panel, w.block_size(i), x.row(first, i * w.block), x.stride, w.tile(panel, i), tile, w.panel,
                i > 0, next);
      }
      epilogue(first, rows, panel, static_cast<const float*>(tile));
    }
    product.release();
  });
}

}  // namespace pymdm::ops
