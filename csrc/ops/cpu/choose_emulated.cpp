#include "ops/choose_emulated.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "ops/convert.h"
#include "ops/cpu/choose_allowed.h"
#include "random/gumbel.h"

namespace pymdm::ops {
namespace {

// exp(-M) for M = -log(-log(1 - 2^-24)), the largest value that float32 noise takes.
const double kTruncation = -std::log1p(-0x1p-24);

constexpr int64_t kChunk = 2 * kWordsAtOnce;  // columns that share one word limit

// The noise of every draw with high word h is at most (clz(w) + 1) log 2 + kSlack: u >= w / 2^32 with w = h where small
// draws are large noise (then E >= u), else 1 - u >= w / 2^32 with w = ~h (then E >= 1 - u), and w >= 2^(31 - clz(w)).
// The slack covers float32 logarithms.
constexpr double kSlack = 1e-3;

// Largest w whose noise bound is `needed` or more.
uint32_t coarse_word_limit(double needed) {
  const double zeros = std::ceil((needed - kSlack) / kLog2) - 1;
  if (!(zeros > 0)) return ~0u;
  return zeros > 31 ? 0 : (1u << (32 - static_cast<int>(zeros))) - 1;
}

class Row {
 public:
  Row(const SearchKernels& kernels, const ChooseArgs& a, Noise kind, int64_t row)
      : kernels_(kernels),
        a_(a),
        kind_(kind),
        row_(row),
        logits_(static_cast<const char*>(a.logits) + row * a.row_stride * element_size(a.dtype)),
        banned_(bans_of(a, row, 0, a.vocab, own_)),
        inverse_temperature_(1.0 / a.temperature),
        flip_(kind == Noise::kTruncated ? 0u : ~0u) {}

  // Every element is evaluated whose score might still be the best, beginning with a large logit.
  int64_t choose() {
    static thread_local std::vector<double> largest;  // of each chunk
    start_at_largest(largest);
    static thread_local RowSearch search;  // only its address is used
    address_row(search, a_, row_, 0);
    alignas(64) uint32_t words[kChunk] = {};
    for (int64_t begin = 0; begin < a_.vocab; begin += kChunk) {
      const int64_t n = std::min(kChunk, a_.vocab - begin);
      const double most = largest[begin / kChunk];
      kernels_.words(search, search.philox.first_block + static_cast<uint32_t>(begin / 4), n, words);
      uint32_t limit = coarse_word_limit(best_ - most), least = ~0u;
      for (int64_t i = 0; i < kChunk; ++i) words[i] ^= flip_;
      for (int64_t i = 0; i < kChunk; ++i) least = std::min(least, words[i]);
      if (least > limit) continue;
      for (int64_t i = 0; i < n; ++i) {
        if (words[i] > limit) continue;
        const double x = scaled(begin + i);
        if (words[i] > coarse_word_limit(best_ - x)) continue;
        evaluate(begin + i, x);
        limit = coarse_word_limit(best_ - most);
      }
    }
    return token_;
  }

 private:
  // -inf where banned.
  double scaled(int64_t v) const {
    if (banned_ && banned_[v]) return -std::numeric_limits<double>::infinity();
    return load_element(logits_, a_.dtype, v) * inverse_temperature_;
  }

  // Bounds of the chunks' largest logits, and the largest logit of the chunk whose bound is highest as the first best.
  void start_at_largest(std::vector<double>& largest) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    largest.clear();
    int64_t highest = 0;
    for (int64_t begin = 0; begin < a_.vocab; begin += kChunk) {
      const int64_t end = std::min(a_.vocab, begin + kChunk);
      const Extent extent = kernels_.extent(logits_, a_.dtype, banned_, begin, end);
      if (extent.unordered || extent.most == INFINITY)  // or a float64 beyond float32
        for (int64_t v = begin; v < end; ++v)
          if (!(scaled(v) < kInfinity)) fail_row("choose", row_, "has ", scaled(v), " at token ", v);
      const double most = extent.most;  // rounded to float32
      const double slack = extent.most == -INFINITY ? 0 : 0x1p-23 * std::fabs(most) + 1e-37;
      largest.push_back((most + slack) * inverse_temperature_);
      if (largest.back() > largest[highest]) highest = begin / kChunk;
    }
    double most = -kInfinity;
    for (int64_t v = highest * kChunk; v < std::min(a_.vocab, (highest + 1) * kChunk); ++v)
      if (const double x = scaled(v); x > most) most = x, token_ = v;
    if (token_ < 0) fail_row("choose", row_, "has no token to choose: every logit is -inf, banned or not allowed");
    best_ = most + emulated_gumbel(bits(token_), kind_);
  }

  uint64_t bits(int64_t v) const {
    return random_bits(a_.seed, a_.sequence[row_], a_.event[row_], a_.purpose, (a_.base ? a_.base[row_] : 0) + v);
  }

  void evaluate(int64_t v, double x) {
    if (std::isinf(x)) return;
    const double score = x + emulated_gumbel(bits(v), kind_);
    if (score > best_ || (score == best_ && v < token_)) best_ = score, token_ = v;
  }

  const SearchKernels& kernels_;
  const ChooseArgs& a_;
  Noise kind_;
  int64_t row_;
  const char* logits_;
  std::vector<uint8_t> own_;
  const uint8_t* banned_;
  double inverse_temperature_;
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
  const SearchKernels& kernels = search_kernels();
  parallel_for(args.rows, args.vocab < 8192 ? 8192 / args.vocab : 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) args.token[row] = Row(kernels, args, kind, row).choose();
  });
}

}  // namespace pymdm::ops
