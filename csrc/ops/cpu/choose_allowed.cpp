#include "ops/cpu/choose_allowed.h"

#include <algorithm>
#include <cmath>

#include "ops/convert.h"
#include "random/address.h"

namespace pymdm::ops {

Part choose_set(const ChooseArgs& args, int64_t row, const void* values, bool packed, int64_t begin, int64_t end) {
  const TokenSet set = args.allowed[row];
  const uint64_t base = args.base ? args.base[row] : 0;
  const int64_t first = std::lower_bound(set.begin(), set.end(), begin) - set.begin();
  Part best{0, -1, false};
  for (int64_t i = first; i < set.size && set[i] < end; ++i) {
    const int64_t v = set[i];
    if (args.banned && args.banned[v]) continue;
    const double x = load_element(values, args.dtype, packed ? i : v);
    if (std::isnan(x) || x == INFINITY) return Part{0, -1, true};
    if (x == -INFINITY) continue;
    const double score = args.temperature > 0 ? full_score(x, 1.0 / args.temperature,
                                                           random_bits(args.seed, args.sequence[row], args.event[row],
                                                                       args.purpose, base + static_cast<uint64_t>(v)))
                                              : x;
    if (best.column < 0 || score > best.score) best = Part{score, v, false};
  }
  return best;
}

const uint8_t* bans_of(const ChooseArgs& args, int64_t row, int64_t begin, int64_t end, std::vector<uint8_t>& own) {
  if (!args.allowed || !args.allowed[row].data) return args.banned;
  const TokenSet set = args.allowed[row];
  own.resize(args.vocab);
  std::fill(own.begin() + begin, own.begin() + end, uint8_t{1});
  for (const int64_t* v = std::lower_bound(set.begin(), set.end(), begin); v != set.end() && *v < end; ++v)
    own[*v] = args.banned ? args.banned[*v] : 0;
  return own.data();
}

}  // namespace pymdm::ops
