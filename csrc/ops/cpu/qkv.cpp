// Linear layers of attention with rotary positions behind their tiles.
#include <cmath>
#include <cstring>

#include "ops/attention.h"
#include "ops/cpu/tiles.h"

namespace pymdm::ops {
namespace {

// One head's row down a column of a panel of keys: by elements in float32, by pairs in bfloat16.
void scatter_key(const void* row, int64_t n, DType dtype, char* to) {
  if (dtype == DType::kFloat32) {
    for (int64_t i = 0; i < n; ++i) std::memcpy(to + i * kKeyPanel * 4, static_cast<const char*>(row) + i * 4, 4);
  } else {
    for (int64_t i = 0; i < n; i += 2) std::memcpy(to + i * kKeyPanel * 2, static_cast<const char*>(row) + i * 2, 4);
  }
}

// A bfloat16 row into every other place of a row of pairs.
void scatter_value(const char* row, int64_t n, char* to) {
  for (int64_t i = 0; i < n; ++i) std::memcpy(to + i * 4, row + i * 2, 2);
}

}  // namespace

Rotary rotary(int64_t length, int64_t head_dim, double base) {
  Rotary out;
  out.half = head_dim / 2;
  for (int64_t position = 0; position < length; ++position)
    for (int64_t i = 0; i < out.half; ++i) {
      const double angle =
          static_cast<double>(position) * std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
      out.cos.push_back(static_cast<float>(std::cos(angle)));
      out.sin.push_back(static_cast<float>(std::sin(angle)));
    }
  return out;
}

Rotary no_rotary(int64_t length, int64_t head_dim) {
  const auto size = static_cast<size_t>(length * (head_dim / 2));
  return {head_dim / 2, std::vector<float>(size, 1.0f), std::vector<float>(size, 0.0f)};
}

void queries(const Packed& w, const Matrix& x, int64_t m, const HeadShape& shape, const Rotary& rotary,
             const Places& places, const Matrix& out) {
  const Kernels& k = kernels();
  const int64_t hd = shape.head_dim, heads_per_panel = std::max<int64_t>(1, w.panel / hd);
  const auto scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(hd)));
  for_tiles(w, x, m, [&](int64_t first, int64_t rows, int64_t panel, const float* tile) {
    const int64_t head = panel * heads_per_panel, heads = std::min(heads_per_panel, shape.heads - head);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t angle = places.position[first + i] * rotary.half;
        k.rotate(tile + i * w.panel + h * hd, w.bias.data() + panel * w.panel + h * hd, rotary.cos.data() + angle,
                 rotary.sin.data() + angle, scale, rotary.half, out.row(first + i, (head + h) * hd), out.dtype);
      }
  });
}

void keys_values(const Packed& w, const Matrix& x, int64_t m, const Rotary& rotary, const Places& places,
                 const KeyValues& out) {
  const Kernels& k = kernels();
  const int64_t hd = out.shape.head_dim, heads_per_panel = std::max<int64_t>(1, w.panel / hd);
  const int64_t size = static_cast<int64_t>(element_size(out.dtype));
  for_tiles(w, x, m, [&](int64_t first, int64_t rows, int64_t panel, const float* tile) {
    std::vector<float> row(hd);
    for (int64_t j = 0; j < heads_per_panel; ++j) {
      const int64_t head = panel * heads_per_panel + j;  // k's heads, then v's
      if (head >= 2 * out.shape.kv_heads) break;
      const float* bias = w.bias.data() + panel * w.panel + j * hd;
      for (int64_t i = 0; i < rows; ++i) {
        const float* c = tile + i * w.panel + j * hd;
        const int64_t slot = places.slot[first + i];
        if (head < out.shape.kv_heads) {
          const int64_t angle = places.position[first + i] * rotary.half;
          k.rotate(c, bias, rotary.cos.data() + angle, rotary.sin.data() + angle, 1.0f, rotary.half, row.data(),
                   out.dtype);
          const int64_t in_panel = slot % kKeyPanel;
          char* block = out.keys + (head * out.slots + (slot - in_panel)) * hd * size;
          scatter_key(row.data(), hd, out.dtype, block + in_panel * 4);
        } else {
          char* values = out.values + ((head - out.shape.kv_heads) * out.slots * out.value_width) * size;
          if (out.dtype == DType::kFloat32) {
            k.store(c, bias, hd, values + slot * out.value_width * 4, out.dtype);
          } else {
            k.store(c, bias, hd, row.data(), out.dtype);
            scatter_value(reinterpret_cast<const char*>(row.data()), hd,
                          values + (slot / 2 * out.value_width * 2 + slot % 2) * 2);
          }
        }
      }
    }
  });
}

void clear_padding(const KeyValues& kv, Span<const int64_t> slot_end) {
  const int64_t size = static_cast<int64_t>(element_size(kv.dtype));
  for (int64_t head = 0; head < kv.shape.kv_heads; ++head)
    for (int64_t b = 0; b < slot_end.size; ++b) {
      char* values = kv.values + head * kv.slots * kv.value_width * size;
      const int64_t from = slot_end[b], to = (slot_end[b] + kKeyPanel - 1) / kKeyPanel * kKeyPanel;
      for (int64_t slot = from; slot < to; ++slot)
        for (int64_t i = 0; i < kv.value_width; ++i) {
          if (kv.dtype == DType::kFloat32)
            std::memset(values + (slot * kv.value_width + i) * 4, 0, 4);
          else
            std::memset(values + ((slot / 2 * kv.value_width + i) * 2 + slot % 2) * 2, 0, 2);
        }
    }
}

}  // namespace pymdm::ops
