#include "ops/choose_emulated.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/parallel.h"
#include "ops/convert.h"
#include "random/gumbel.h"
#include "random/philox_row.h"

namespace pymdm::ops {
namespace {

// exp(-M) for M = -log(-log(1 - 2^-24)), the largest value that float32 noise takes.
const double kTruncation = -std::log1p(-0x1p-24);

// Columns whose logit and noise bound are compared at once.
constexpr int64_t kChunk = 256;

// The noise of every draw with high word h is at most (clz(w) + 1) log 2 + kSlack: u >= w / 2^32 with w = h where small
// draws are large noise (then E >= u), else 1 - u >= w / 2^32 with w = ~h (then E >= 1 - u), and w >= 2^(31 - clz(w)).
// The slack covers float32 logarithms.
constexpr double kLog2 = 0.693147180559945309, kSlack = 1e-3;

double noise_bound(uint32_t w) {
  return w == 0 ? std::numeric_limits<double>::infinity() : (__builtin_clz(w) + 1) * kLog2 + kSlack;
}

class Row {
 public:
  Row(const ChooseArgs& a, Noise kind, int64_t row)
      : a_(a),
        kind_(kind),
        row_(row),
        logits_(static_cast<const char*>(a.logits) + row * a.row_stride * element_size(a.dtype)),
        inverse_temperature_(1.0 / a.temperature),
        base_(a.base ? a.base[row] : 0),
        flip_(kind == Noise::kTruncated ? 0u : ~0u) {}

  // Every element is evaluated whose score might still be the best, beginning with the largest logit.
  int64_t choose() {
    start_at_largest();
    const uint32_t word_purpose = 2 * static_cast<uint32_t>(a_.purpose);
    const PhiloxRow high = philox_row(key_of(a_.seed), counter_of(a_.sequence[row_], a_.event[row_], word_purpose, 0));
    uint32_t words[kChunk + 8];
    for (int64_t begin = 0; begin < a_.vocab; begin += kChunk) {
      const int64_t n = std::min(kChunk, a_.vocab - begin);
      const uint64_t first = (base_ + begin) >> 2;  // counters wrap at 2^32 blocks, as indices of 34 bits do
      const int64_t skip = static_cast<int64_t>((base_ + begin) & 3), blocks = (skip + n + 3) / 4;
      for (int64_t i = 0; i < blocks; ++i) {
        const Words4 four = philox_block(high, static_cast<uint32_t>(first + i));
        for (int k = 0; k < 4; ++k) words[4 * i + k] = four.w[k] ^ flip_;
      }
      for (int64_t i = 0; i < n; ++i) {
        const double x = scaled(begin + i);
        if (!(x + noise_bound(words[skip + i]) < best_)) evaluate(begin + i, x);
      }
    }
    return token_;
  }

 private:
  // -inf where banned.
  double scaled(int64_t v) const {
    if (a_.banned && a_.banned[v]) return -std::numeric_limits<double>::infinity();
    return load_element(logits_, a_.dtype, v) * inverse_temperature_;
  }

  void start_at_largest() {
    double largest = -std::numeric_limits<double>::infinity();
    for (int64_t v = 0; v < a_.vocab; ++v) {
      const double x = scaled(v);
      check(x < std::numeric_limits<double>::infinity(), "choose", "row ", row_, " has ", x, " at token ", v);
      if (x > largest) largest = x, token_ = v;
    }
    check(token_ >= 0, "choose", "row ", row_, " has no token to choose: every logit is -inf or banned");
    best_ = largest + emulated_gumbel(bits(token_), kind_);
  }

  uint64_t bits(int64_t v) const {
    return random_bits(a_.seed, a_.sequence[row_], a_.event[row_], a_.purpose, base_ + v);
  }

  void evaluate(int64_t v, double x) {
    if (std::isinf(x)) return;
    const double score = x + emulated_gumbel(bits(v), kind_);
    if (score > best_ || (score == best_ && v < token_)) best_ = score, token_ = v;
  }

  const ChooseArgs& a_;
  Noise kind_;
  int64_t row_;
  const char* logits_;
  double inverse_temperature_;
  uint64_t base_;
  uint32_t flip_;
  double best_ = 0;
  int64_t token_ = -1;
};

}  // namespace

double emulated_gumbel(uint64_t r, Noise kind) {
  switch (kind) {
    case Noise::kFloat32: {
      const float u = static_cast<float>(r >> 40) * 0x1p-24f;
      return -std::log(-std::log(u));  // float overloads: rounded to float32 at each step
    }
    case Noise::kFloat64:
      return -std::log(-std::log(static_cast<double>(r >> 11) * 0x1p-53));
    case Noise::kTruncated:
      return -std::log(exponential(r) + kTruncation);
    default:
      return gumbel(r);
  }
}

void choose_emulated(const ChooseArgs& args, Noise kind) {
  if (kind == Noise::kExact) return choose(args);
  check(args.temperature > 0 && args.top_k == 0 && args.top_p == 1, "choose",
        "emulated noise needs a temperature above 0 and neither top_k nor top_p");
  parallel_for(args.rows, args.vocab < 8192 ? 8192 / args.vocab : 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) args.token[row] = Row(args, kind, row).choose();
  });
}

}  // namespace pymdm::ops
