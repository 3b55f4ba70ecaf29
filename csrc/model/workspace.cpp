#include "model/workspace.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "ops/mlp.h"

namespace pymdm::model {
namespace {

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Elements between rows: whole cache lines, but not a multiple of 2 KiB, whose rows would all fall in one cache set.
int64_t pitch(int64_t width, DType dtype) {
  const int64_t size = static_cast<int64_t>(element_size(dtype)), bytes = round_up(width * size, 64);
  return (bytes % 2048 == 0 ? bytes + 64 : bytes) / size;
}

}  // namespace

void Workspace::fit(const Config& c, DType dtype, int64_t hidden_width, int64_t tokens, int64_t rows, int64_t sequences,
                    int64_t slots, int64_t beside_rows) {
  constexpr DType kFloat = DType::kFloat32;
  const int64_t most = std::max(tokens, rows), width = c.heads * c.head_dim;
  const int64_t time = c.conditioning == Conditioning::kTime ? sequences : 0;
  kv.dtype = dtype;
  kv.shape = {c.heads, c.kv_heads, c.head_dim};
  kv.slots = slots;
  kv.value_width = ops::KeyValues::value_columns(c.head_dim);
  const int64_t size = static_cast<int64_t>(element_size(dtype));

  // Twice: first to count, then, with the memory there, to place.
  int64_t offset = 0;
  const auto bytes_of = [&](int64_t bytes) {
    char* at = memory_.data() == nullptr ? nullptr : memory_.data() + offset;
    offset += round_up(bytes, 64);
    return at;
  };
  const auto matrix = [&](ops::Matrix& m, int64_t count, int64_t columns, DType type) {
    m.dtype = type;
    m.stride = pitch(columns, type);
    m.data = bytes_of((count + ops::kRowPadding) * m.stride * static_cast<int64_t>(element_size(type)));
  };
  const auto place = [&] {
    offset = 0;
    matrix(x, tokens, c.width, kFloat);
    matrix(h, most, c.width, dtype);
    matrix(q, most, width, dtype);
    matrix(o, most, width, dtype);
    matrix(chosen, rows, c.width, kFloat);
    matrix(chosen_h, rows, c.width, dtype);
    matrix(hidden, ops::mlp_chunk(most), hidden_width, dtype);
    if (c.embed_dim != c.width) {
      matrix(narrow, most, c.embed_dim, kFloat);
      matrix(narrow_h, most, c.embed_dim, dtype);
    }
    if (c.qk_norm && c.qk_norm_whole) matrix(heads, most, width, kFloat);
    if (time > 0) {
      matrix(condition, time, c.cond_dim, kFloat);
      matrix(condition_hidden, time, 256 + c.cond_dim, kFloat);
      matrix(mods, time, 6 * c.width, kFloat);
    }
    matrix(beside.keys, beside_rows, c.kv_heads * c.head_dim, dtype);
    matrix(beside.values, beside_rows, c.kv_heads * c.head_dim, dtype);
    kv.keys = bytes_of(c.kv_heads * slots * c.head_dim * size);
    kv.values = bytes_of(c.kv_heads * slots * kv.value_width * size);
  };
  place();
  memory_.reserve(offset);
  place();
}

void Workspace::poison() {
  if (memory_.data() != nullptr) std::memset(memory_.data(), 0xFF, memory_.bytes());
}

}  // namespace pymdm::model
