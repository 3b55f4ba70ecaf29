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

template <class Epilogue>
void for_tiles(const Packed& w, const Matrix& x, int64_t m, const Epilogue& epilogue) {
  const Product product(w.dtype);
  const int64_t strips = (m + kStrip - 1) / kStrip;
  parallel_for(w.panels * strips, 1, [&](int64_t begin, int64_t end) {
    float* tile = scratch(kStrip * w.panel);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t panel = t / strips, first = t % strips * kStrip, rows = std::min(kStrip, m - first);
      for (int64_t i = 0; i < w.blocks; ++i)
        product(round_rows(rows), w.panel, w.block_size(i), x.row(first, i * w.block), x.stride, w.tile(panel, i), tile,
                w.panel, i > 0);
      epilogue(first, rows, panel, static_cast<const float*>(tile));
    }
    product.release();
  });
}

}  // namespace pymdm::ops
