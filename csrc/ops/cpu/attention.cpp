#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/parallel.h"
#include "ops/cpu/tiles.h"

namespace pymdm::ops {
namespace {

constexpr int64_t kQueries = 64;    // rows of a tile of scores
constexpr int64_t kKeyBlock = 512;  // keys of a tile of scores
constexpr float kLowest = std::numeric_limits<float>::lowest();

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// A tile of queries of one sequence.
struct Tile {
  int64_t span = 0, first = 0, rows = 0;
};

// One thread's tiles: scores, their exponentials in the engine's type, and the running sums of the rows.
struct Scratch {
  float *scores, *out, *top, *total;
  char* weights;

  explicit Scratch(int64_t value_width) {
    scores = scratch(2 * kQueries * kKeyBlock + kQueries * (value_width + 2));
    weights = reinterpret_cast<char*>(scores + kQueries * kKeyBlock);
    out = scores + 2 * kQueries * kKeyBlock;
    top = out + kQueries * value_width;
    total = top + kQueries;
  }
};

// What one tile of queries computes over the blocks of keys, in their order:
//   top' = max(top, max s),  p = 2^(s - top'),  total' = total 2^(top - top') + sum p,  out' = out 2^(top - top') + p v
// A key that a query does not see has p = 0 exactly, so that a row is the same bits whether its tile reads it or not.
struct Head {
  const Product& product;
  const Kernels& k;
  const KeyValues& kv;
  const Beside& own;
  Scratch& s;
  const Sight* sights;  // of the tile's queries
  int64_t window;
  const int32_t* position;  // of the tile's queries where there is a window, else null

  // Keys that query i sees, relative to `first_key`, of `keys`.
  int64_t from(int64_t i, int64_t first_key, int64_t keys) const {
    return position ? std::clamp<int64_t>(position[i] - window - first_key, 0, keys) : 0;
  }
  int64_t to(int64_t i, int64_t first_key, int64_t keys) const {
    const int64_t past = position ? std::min<int64_t>(sights[i].past, position[i] + 1 + window) : sights[i].past;
    return std::clamp<int64_t>(past - first_key, 0, keys);
  }

  void block(const Matrix& q, int64_t row, int64_t column, int64_t kv_head, int64_t rows, const QuerySpan& span,
             int64_t first_key, bool first) const {
    const int64_t hd = kv.shape.head_dim, size = static_cast<int64_t>(element_size(kv.dtype));
    const int64_t keys = std::min(kKeyBlock, span.keys - first_key), padded = round_up(keys, 32);
    const int64_t slot = kv_head * kv.slots + span.slot + first_key;
    const int64_t begin = from(0, first_key, keys) / kKeyPanel * kKeyPanel;
    int64_t end = 0;
    for (int64_t i = 0; i < rows; ++i) end = std::max(end, to(i, first_key, keys));
    for (int64_t p = begin; p < end; p += kKeyPanel)
      product(rows, kKeyPanel, hd, q.row(row, column), q.stride, kv.keys + (slot + p) * hd * size, s.scores + p,
              kKeyBlock, false);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t low = from(i, first_key, keys), seen = std::max<int64_t>(to(i, first_key, keys) - low, 0);
      const float* scores = s.scores + i * kKeyBlock + low;
      char* weights = s.weights + i * kKeyBlock * size;
      const float top = k.maximum(scores, seen, s.top[i]);
      const float fade = first ? 0.0f : std::exp2(s.top[i] - top);
      std::memset(weights, 0, low * size);
      s.total[i] = s.total[i] * fade + k.softmax(scores, seen, padded - low, top, weights + low * size, kv.dtype);
      s.top[i] = top;
      if (!first && fade != 1.0f)
        k.scale(s.out + i * kv.value_width, fade, hd, s.out + i * kv.value_width, DType::kFloat32);
    }
    product(rows, kv.value_width, padded, s.weights, kKeyBlock, kv.values + slot * kv.value_width * size, s.out,
            kv.value_width, !first);
  }

  // Query i's rows beside the slots, after those: few, row by row.
  void beside(const Matrix& q, int64_t row, int64_t column, int64_t kv_head, int64_t i) const {
    const int64_t hd = kv.shape.head_dim;
    float *scores = s.scores, *out = s.out + i * kv.value_width;
    for (int64_t first = sights[i].own; first < sights[i].own_end; first += kKeyBlock) {
      const int64_t keys = std::min(kKeyBlock, sights[i].own_end - first);
      k.dots(q.row(row + i, column), own.keys.row(first, kv_head * hd), own.keys.stride, keys, hd, scores, kv.dtype);
      const float top = k.maximum(scores, keys, s.top[i]), fade = std::exp2(s.top[i] - top);
      s.total[i] = s.total[i] * fade + k.softmax(scores, keys, keys, top, scores, DType::kFloat32);
      s.top[i] = top;
      k.mix(out, fade, scores, own.values.row(first, kv_head * hd), own.values.stride, keys, hd, kv.dtype);
    }
  }
};

}  // namespace

void attention(const Matrix& q, const KeyValues& kv, const Beside& beside, Span<const QuerySpan> spans,
               const Sight* sights, const Near& near, const Matrix& out) {
  const Kernels& k = kernels();
  const Product product(kv.dtype);
  std::vector<Tile> tiles;
  for (int64_t b = 0; b < spans.size; ++b)
    for (int64_t i = spans[b].query_begin; i < spans[b].query_end; i += kQueries)
      tiles.push_back({b, i, std::min(kQueries, spans[b].query_end - i)});
  const int64_t count = static_cast<int64_t>(tiles.size()), hd = kv.shape.head_dim;
  const int64_t share = kv.shape.heads / kv.shape.kv_heads;
  // Head by head, so that neighbouring tiles read the same keys.
  parallel_for(count * kv.shape.heads, 1, [&](int64_t begin, int64_t end) {
    Scratch s(kv.value_width);
    for (int64_t t = begin; t < end; ++t) {
      const Tile& tile = tiles[t % count];
      const QuerySpan& span = spans[tile.span];
      const int64_t head = t / count;
      const Head work{product,     k,
                      kv,          beside,
                      s,           sights + tile.first,
                      near.window, near.window > 0 ? near.position + tile.first : nullptr};
      const int64_t begin = work.from(0, 0, span.keys) / kKeyBlock * kKeyBlock;
      int64_t last = 0;
      for (int64_t i = 0; i < tile.rows; ++i) last = std::max(last, work.to(i, 0, span.keys));
      std::fill_n(s.top, tile.rows, kLowest);
      std::fill_n(s.total, tile.rows, 0.0f);
      if (last <= begin) std::fill_n(s.out, tile.rows * kv.value_width, 0.0f);
      for (int64_t key = begin; key < last; key += kKeyBlock)
        work.block(q, tile.first, head * hd, head / share, tile.rows, span, key, key == begin);
      for (int64_t i = 0; i < tile.rows; ++i) work.beside(q, tile.first, head * hd, head / share, i);
      for (int64_t i = 0; i < tile.rows; ++i)
        k.scale(s.out + i * kv.value_width, 1.0f / s.total[i], hd, out.row(tile.first + i, head * hd), out.dtype);
    }
    product.release();
  });
}

}  // namespace pymdm::ops
