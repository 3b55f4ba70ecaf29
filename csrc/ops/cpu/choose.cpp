#include "ops/choose.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/parallel.h"
#include "ops/convert.h"
#include "random/gumbel.h"

namespace pymdm::ops {
namespace {

constexpr double kNegativeInfinity = -std::numeric_limits<double>::infinity();

int64_t choose_row(const ChooseArgs& a, int64_t row) {
  const char* logits = static_cast<const char*>(a.logits) + row * a.row_stride * element_size(a.dtype);
  const double inverse_temperature = a.temperature > 0 ? 1.0 / a.temperature : 1.0;
  const uint64_t base = a.base ? a.base[row] : 0;
  double best = kNegativeInfinity;
  int64_t token = -1;
  for (int64_t v = 0; v < a.vocab; ++v) {
    if (a.banned && a.banned[v]) continue;
    const double x = load_element(logits, a.dtype, v);
    check(!std::isnan(x) && x != -kNegativeInfinity, "choose", "row ", row, " has ", x, " at token ", v,
          "; expected finite logits or -inf");
    double score = x * inverse_temperature;
    if (a.temperature > 0 && x != kNegativeInfinity)
      score += gumbel(random_bits(a.seed, a.sequence[row], a.event[row], a.purpose, base + v));
    if (score > best) best = score, token = v;
  }
  check(token >= 0, "choose", "row ", row, " has no token to choose: every logit is -inf or banned");
  return token;
}

}  // namespace

void choose(const ChooseArgs& args) {
  parallel_for(args.rows, args.vocab < 8192 ? 8192 / args.vocab : 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) args.token[row] = choose_row(args, row);
  });
}

}  // namespace pymdm::ops
