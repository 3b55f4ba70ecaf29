// Evaluates every element in float64, which is the definition of choose. The lazy forms are tested against it.
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "ops/choose_lazy.h"
#include "ops/convert.h"
#include "ops/cpu/choose_allowed.h"

namespace pymdm::ops {

void choose_full(const ChooseArgs& a) {
  parallel_for(a.rows, 1, [&](int64_t row, int64_t end) {
    for (; row < end; ++row) {
      const char* logits = static_cast<const char*>(a.logits) + row * a.row_stride * element_size(a.dtype);
      const double inverse_temperature = a.temperature > 0 ? 1.0 / a.temperature : 1.0;
      const uint64_t base = a.base ? a.base[row] : 0;
      std::vector<uint8_t> own;
      const uint8_t* banned = bans_of(a, row, 0, a.vocab, own);
      double best = 0;
      int64_t token = -1;
      for (int64_t v = 0; v < a.vocab; ++v) {
        const double x = load_element(logits, a.dtype, v);
        if ((banned && banned[v]) || x == -INFINITY) continue;
        const double score = a.temperature > 0
                                 ? full_score(x, inverse_temperature,
                                              random_bits(a.seed, a.sequence[row], a.event[row], a.purpose, base + v))
                                 : x;
        if (token < 0 || score > best) best = score, token = v;
      }
      a.token[row] = token;
    }
  });
}

}  // namespace pymdm::ops
