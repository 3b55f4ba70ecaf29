#include "ops/choose_emulated.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/parallel.h"
#include "ops/convert.h"
#include "random/gumbel.h"

namespace pymdm::ops {
namespace {

// exp(-M) for M = -log(-log(1 - 2^-24)), the largest value that float32 noise takes.
const double kTruncation = -std::log1p(-0x1p-24);

int64_t choose_row(const ChooseArgs& a, Noise kind, int64_t row) {
  const char* logits = static_cast<const char*>(a.logits) + row * a.row_stride * element_size(a.dtype);
  const double inverse_temperature = 1.0 / a.temperature;
  const uint64_t base = a.base ? a.base[row] : 0;
  double best = -std::numeric_limits<double>::infinity();
  int64_t token = -1;
  for (int64_t v = 0; v < a.vocab; ++v) {
    if (a.banned && a.banned[v]) continue;
    const double x = load_element(logits, a.dtype, v) * inverse_temperature;
    check(x < std::numeric_limits<double>::infinity(), "choose", "row ", row, " has ", x, " at token ", v);
    if (std::isinf(x)) continue;
    const uint64_t r = random_bits(a.seed, a.sequence[row], a.event[row], a.purpose, base + v);
    const double score = x + emulated_gumbel(r, kind);
    if (score > best || token < 0) best = score, token = v;
  }
  check(token >= 0, "choose", "row ", row, " has no token to choose: every logit is -inf or banned");
  return token;
}

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
    for (int64_t row = begin; row < end; ++row) args.token[row] = choose_row(args, kind, row);
  });
}

}  // namespace pymdm::ops
