// attention: softmax(q k^T / sqrt(hd)) v of each query over what it sees: the first slots of its sequence, and a few
// rows beside them; on tiles, without a [L, L] matrix in memory. Rotary positions are applied behind the tiles of the
// q, k and v layers, which write straight into the layouts that the products of attention read.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/linear.h"
#include "ops/norm.h"

namespace pymdm::ops {

constexpr int64_t kKeyPanel = 64;  // keys of a panel; each sequence starts a new one

struct HeadShape {
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
};

// Cosines and sines of the rotary angles position * base^(-2i / hd), [length, hd / 2] each.
struct Rotary {
  int64_t half = 0;
  std::vector<float> cos, sin;
};
// YaRN (arXiv 2309.00071): frequencies that turn less than once within `length` positions are divided by `factor`,
// those that turn more than 32 times stay, and between the whole numbers i around both places the two are mixed
// linearly in i.
struct Yarn {
  double factor = 1;
  int64_t length = 0;
};
Rotary rotary(int64_t length, int64_t head_dim, double base, const Yarn& yarn = {});
// Angles that are all 0: the rotation changes nothing. For networks whose positions are in their embeddings.
Rotary no_rotary(int64_t length, int64_t head_dim);

// Keys and values of a batch, both of the engine's type. Slot = where a token is kept; a sequence's slots are
// consecutive and start at a multiple of kKeyPanel.
//   keys:   [kv_heads][slots / kKeyPanel][hd][kKeyPanel], in bfloat16 [hd / 2][kKeyPanel][2]
//   values: [kv_heads][slots][value_width],               in bfloat16 [slots / 2][value_width][2]
struct KeyValues {
  DType dtype = DType::kFloat32;
  HeadShape shape;
  int64_t slots = 0, value_width = 0;  // value_width: head_dim rounded up to 16
  char* keys = nullptr;
  char* values = nullptr;

  static int64_t value_columns(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }
};

// Keys and values that only rows of the same call see, [rows, kv_heads * hd] each, of the engine's type.
struct Beside {
  Matrix keys, values;
};

// Where each row of a product belongs.
struct Places {
  const int32_t* position = nullptr;  // [m] within its sequence
  const int64_t* slot = nullptr;      // [m]; keys and values only: ~r means row r beside the slots
};

// A norm of queries or keys before they are rotated: of each head alone, weight [hd], behind the tiles; or, where
// `rows` [m, heads * hd] float32 is given to hold them, of all heads of a row together, weight [heads * hd].
struct HeadNorm {
  const Norm* norm = nullptr;  // null: none
  Matrix rows;
};

// out [m, heads * hd] = rotate(norm(x Wq^T + bq)) * log2(e) / sqrt(hd): the softmax of attention is in powers of two
void queries(const Packed& q, const Matrix& x, int64_t m, const HeadShape& shape, const Rotary& rotary,
             const Places& places, const HeadNorm& norm, const Matrix& out);

// Fills `kv` with rotate(norm(x Wk^T + bk)) and x Wv^T + bv; Packed holds k's rows, then v's.
void keys_values(const Packed& kv, const Matrix& x, int64_t m, const Rotary& rotary, const Places& places,
                 const HeadNorm& norm, const KeyValues& out, const Beside& beside);

// Zeros the values of slots begin .. end: what is behind a sequence's end is read with weight 0.
void clear_values(const KeyValues& kv, int64_t begin, int64_t end);
// Zeros the values behind each sequence's end, up to the end of its last panel. The products read them with weight 0.
void clear_padding(const KeyValues& kv, Span<const int64_t> slot_end);

// What a query sees: the first `past` slots of its sequence, and rows own .. own_end beside them.
struct Sight {
  int64_t past = 0, own = 0, own_end = 0;
};

// Queries of one sequence, consecutive rows of q.
struct QuerySpan {
  int64_t query_begin = 0, query_end = 0;
  int64_t slot = 0, keys = 0;  // the sequence's first slot, and the most slots that one of them sees
};

// With a window above 0 the query at position i sees only slots j with |i - j| <= window. Slots then stand in the
// order of positions.
struct Near {
  int64_t window = 0;
  const int32_t* position = nullptr;  // [Mq], ascending within a span; read where there is a window
};

// out [Mq, heads * hd] for q [Mq, heads * hd]; `sights` of each query. A query's bits do not depend on the others.
void attention(const Matrix& q, const KeyValues& kv, const Beside& beside, Span<const QuerySpan> spans,
               const Sight* sights, const Near& near, const Matrix& out);

}  // namespace pymdm::ops
