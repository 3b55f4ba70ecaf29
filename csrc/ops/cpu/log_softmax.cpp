#include "ops/log_softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "ops/convert.h"

namespace pymdm::ops {

void log_softmax(const void* logits, DType dtype, int64_t vocab, double temperature, const uint8_t* banned, int64_t row,
                 double* out) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double inverse = temperature > 0 ? 1.0 / temperature : 1.0;
  double largest = -kInfinity;
  int64_t best = -1;
  for (int64_t v = 0; v < vocab; ++v) {
    const bool off = banned && banned[v];
    const double x = load_element(logits, dtype, v);
    if (!off && !(x < kInfinity))
      fail_row("choose", row, "has ", x, " at token ", v, "; expected finite logits or -inf");
    out[v] = off ? -kInfinity : x * inverse;
    if (out[v] > largest) largest = out[v], best = v;
  }
  if (best < 0) fail_row("choose", row, "has no token to choose: every logit is -inf, banned or not allowed");
  if (temperature == 0) {
    std::fill(out, out + vocab, -kInfinity);
    out[best] = 0;
    return;
  }
  double sum = 0;
  for (int64_t v = 0; v < vocab; ++v) sum += std::exp(out[v] - largest);
  const double log_sum = largest + std::log(sum);
  for (int64_t v = 0; v < vocab; ++v) out[v] -= log_sum;
}

}  // namespace pymdm::ops
