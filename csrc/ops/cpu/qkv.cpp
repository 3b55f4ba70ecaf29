// Computes queries, keys and values: linear layers that apply rotary positions behind their tiles.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <utility>

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

bool finite(const void* row, int64_t n, DType dtype) {
  bool all = true;
  for (int64_t i = 0; i < n; ++i)
    all &= dtype == DType::kFloat32 ? std::isfinite(static_cast<const float*>(row)[i])
                                    : (static_cast<const uint16_t*>(row)[i] & 0x7F80) != 0x7F80;
  return all;
}

// A bfloat16 row into every other place of a row of pairs.
void scatter_value(const char* row, int64_t n, char* to) {
  for (int64_t i = 0; i < n; ++i) std::memcpy(to + i * 4, row + i * 2, 2);
}

// Calls turn(c, bias, row, head, scratch [hd]) for every head's product of a row, normed before where there is a norm.
template <class Turn>
class Heads {
 public:
  Heads(const HeadNorm& norm, int64_t head_dim, const Turn& turn)
      : norm_(norm), hd_(head_dim), turn_(turn), zeros_(norm.norm ? head_dim : 0, 0.0f) {}

  // scratch [2 hd]
  void operator()(const float* c, const float* bias, int64_t row, int64_t head, float* scratch) const {
    if (norm_.norm == nullptr) return turn_(c, bias, row, head, scratch);
    if (whole()) return k_.store(c, bias, hd_, norm_.rows.row(row, head * hd_), DType::kFloat32);
    float* normed = scratch + hd_;
    k_.store(c, bias, hd_, normed, DType::kFloat32);
    k_.norm(norm_row(*norm_.norm), normed, nullptr, nullptr, normed, DType::kFloat32);
    turn_(normed, zeros_.data(), row, head, scratch);
  }
  // After the tiles: a norm over all heads needs the whole row.
  void finish(int64_t m, int64_t heads) const {
    if (norm_.norm == nullptr || !whole()) return;
    parallel_for(m, 16, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(hd_);
      for (int64_t i = begin; i < end; ++i) {
        float* row = reinterpret_cast<float*>(norm_.rows.row(i));
        k_.norm(norm_row(*norm_.norm), row, nullptr, nullptr, row, DType::kFloat32);
        for (int64_t head = 0; head < heads; ++head) turn_(row + head * hd_, zeros_.data(), i, head, scratch.data());
      }
    });
  }

 private:
  bool whole() const { return norm_.rows.data != nullptr; }

  const Kernels& k_ = kernels();
  const HeadNorm& norm_;
  int64_t hd_;
  const Turn& turn_;
  std::vector<float> zeros_;
};

}  // namespace

Rotary rotary(int64_t length, int64_t head_dim, double base, const Yarn& yarn) {
  Rotary out;
  out.half = head_dim / 2;
  const auto hd = static_cast<double>(head_dim);
  std::vector<double> share(out.half, 0.0);  // of the divided frequency
  if (yarn.factor != 1) {
    const auto place = [&](double turns) {
      return hd * std::log(static_cast<double>(yarn.length) / (turns * 2 * 3.141592653589793)) / (2 * std::log(base));
    };
    const double low = std::max(std::floor(place(32)), 0.0), high = std::min(std::ceil(place(1)), hd - 1);
    for (int64_t i = 0; i < out.half; ++i)
      share[i] = std::clamp((static_cast<double>(i) - low) / (high > low ? high - low : 1e-3), 0.0, 1.0);
  }
  for (int64_t position = 0; position < length; ++position)
    for (int64_t i = 0; i < out.half; ++i) {
      const double mixed = 1 - share[i] + share[i] / yarn.factor;
      const double angle = static_cast<double>(position) * (std::pow(base, -2.0 * static_cast<double>(i) / hd) * mixed);
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
             const Places& places, const HeadNorm& norm, const Matrix& out) {
  const Kernels& k = kernels();
  const int64_t hd = shape.head_dim, heads_per_panel = std::max<int64_t>(1, w.panel / hd);
  const auto scale = static_cast<float>(1.4426950408889634 / std::sqrt(static_cast<double>(hd)));
  const auto turn = [&](const float* c, const float* bias, int64_t row, int64_t head, float*) {
    const int64_t angle = places.position[row] * rotary.half;
    k.rotate(c, bias, rotary.cos.data() + angle, rotary.sin.data() + angle, scale, rotary.half, out.row(row, head * hd),
             out.dtype);
  };
  const Heads each(norm, hd, turn);
  for_tiles(w, x, m, [&](int64_t first, int64_t rows, int64_t panel, const float* tile) {
    const int64_t head = panel * heads_per_panel, heads = std::min(heads_per_panel, shape.heads - head);
    std::vector<float> row(2 * hd);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t h = 0; h < heads; ++h)
        each(tile + i * w.panel + h * hd, w.bias.data() + panel * w.panel + h * hd, first + i, head + h, row.data());
  });
  each.finish(m, shape.heads);
}

void keys_values(const Packed& w, const Matrix& x, int64_t m, const Rotary& rotary, const Places& places,
                 const HeadNorm& norm, const KeyValues& out, const Beside& beside) {
  const Kernels& k = kernels();
  const int64_t hd = out.shape.head_dim, heads_per_panel = std::max<int64_t>(1, w.panel / hd);
  const int64_t size = static_cast<int64_t>(element_size(out.dtype));
  const auto turn = [&](const float* c, const float* bias, int64_t row, int64_t head, float* turned) {
    const int64_t angle = places.position[row] * rotary.half, slot = places.slot[row], in_panel = slot % kKeyPanel;
    if (slot < 0) {
      k.rotate(c, bias, rotary.cos.data() + angle, rotary.sin.data() + angle, 1.0f, rotary.half,
               beside.keys.row(~slot, head * hd), out.dtype);
      return;
    }
    k.rotate(c, bias, rotary.cos.data() + angle, rotary.sin.data() + angle, 1.0f, rotary.half, turned, out.dtype);
    char* block = out.keys + (head * out.slots + (slot - in_panel)) * hd * size;
    scatter_key(turned, hd, out.dtype, block + in_panel * 4);
  };
  const Heads each(norm, hd, turn);
  std::vector<std::pair<int64_t, int64_t>> bad;  // (head, slot) of values that are not finite
  std::mutex mutex;
  for_tiles(w, x, m, [&](int64_t first, int64_t rows, int64_t panel, const float* tile) {
    std::vector<float> row(2 * hd);
    for (int64_t j = 0; j < heads_per_panel; ++j) {
      const int64_t head = panel * heads_per_panel + j;  // k's heads, then v's
      if (head >= 2 * out.shape.kv_heads) break;
      const float* bias = w.bias.data() + panel * w.panel + j * hd;
      for (int64_t i = 0; i < rows; ++i) {
        const float* c = tile + i * w.panel + j * hd;
        if (head < out.shape.kv_heads) {
          each(c, bias, first + i, head, row.data());
          continue;
        }
        const int64_t slot = places.slot[first + i], kv_head = head - out.shape.kv_heads;
        if (slot < 0) {
          k.store(c, bias, hd, beside.values.row(~slot, kv_head * hd), out.dtype);
          continue;
        }
        char* values = out.values + (kv_head * out.slots * out.value_width) * size;
        k.store(c, bias, hd, row.data(), out.dtype);
        if (!finite(row.data(), hd, out.dtype)) {
          std::fill(row.begin(), row.end(), 0.0f);
          const std::lock_guard<std::mutex> lock(mutex);
          bad.emplace_back(kv_head, slot);
        }
        if (out.dtype == DType::kFloat32)
          std::memcpy(values + slot * out.value_width * 4, row.data(), hd * 4);
        else
          scatter_value(reinterpret_cast<const char*>(row.data()), hd,
                        values + (slot / 2 * out.value_width * 2 + slot % 2) * 2);
      }
    }
  });
  each.finish(m, out.shape.kv_heads);
  // The products read values that a row does not see with weight 0, which would make NaN of them: such a slot has a key
  // that is NaN instead, whose scores only those read that see it.
  std::vector<uint16_t> nan(2 * hd, 0x7FC0);  // in float32 the upper half: exp2_of keeps NaN without low bits
  for (int64_t i = 0; i < 2 * hd && out.dtype == DType::kFloat32; i += 2) nan[i] = 0;
  for (const auto& [head, slot] : bad) {
    const int64_t in_panel = slot % kKeyPanel;
    scatter_key(nan.data(), hd, out.dtype, out.keys + (head * out.slots + slot - in_panel) * hd * size + in_panel * 4);
  }
}

void clear_values(const KeyValues& kv, int64_t begin, int64_t end) {
  const int64_t size = static_cast<int64_t>(element_size(kv.dtype));
  for (int64_t head = 0; head < kv.shape.kv_heads; ++head) {
    char* values = kv.values + head * kv.slots * kv.value_width * size;
    for (int64_t slot = begin; slot < end; ++slot)
      for (int64_t i = 0; i < kv.value_width; ++i) {
        if (kv.dtype == DType::kFloat32)
          std::memset(values + (slot * kv.value_width + i) * 4, 0, 4);
        else
          std::memset(values + ((slot / 2 * kv.value_width + i) * 2 + slot % 2) * 2, 0, 2);
      }
  }
}

void clear_padding(const KeyValues& kv, Span<const int64_t> slot_end) {
  for (const int64_t end : slot_end) clear_values(kv, end, (end + kKeyPanel - 1) / kKeyPanel * kKeyPanel);
}

}  // namespace pymdm::ops
