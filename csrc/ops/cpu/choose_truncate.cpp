#include "ops/cpu/choose_truncate.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ops/convert.h"

namespace pymdm::ops {
namespace {

struct Entry {
  double x;
  int64_t column;
};

bool before(const Entry& a, const Entry& b) { return a.x > b.x || (a.x == b.x && a.column < b.column); }

using Iterator = std::vector<Entry>::iterator;

// Length of the shortest prefix, in order, that holds the share top_p. Sorts only as far as it must: 64 entries, then
// 512, 4096, ...
int64_t prefix(const ChooseArgs& args, Iterator begin, Iterator end) {
  const double inverse = 1.0 / args.temperature;
  const double most = std::min_element(begin, end, before)->x * inverse;
  const auto weight = [&](const Entry& e) { return std::exp(e.x * inverse - most); };
  double total = 0, sum = 0;
  for (Iterator i = begin; i != end; ++i) total += weight(*i);
  Iterator sorted = begin;
  for (int64_t step = 64; sorted != end; step *= 8) {
    const Iterator next = end - sorted > step ? sorted + step : end;
    if (next != end) std::nth_element(sorted, next, end, before);
    std::sort(sorted, next, before);
    for (; sorted != next; ++sorted) {
      sum += weight(*sorted);
      if (sum >= args.top_p * total) return sorted + 1 - begin;
    }
  }
  return end - begin;
}

}  // namespace

bool truncate_row(const ChooseArgs& args, int64_t row, const uint8_t* banned, uint8_t* out) {
  const char* logits = static_cast<const char*>(args.logits) + row * args.row_stride * element_size(args.dtype);
  static thread_local std::vector<Entry> entries;
  entries.clear();
  for (int64_t v = 0; v < args.vocab; ++v) {
    if (banned && banned[v]) continue;
    const double x = load_element(logits, args.dtype, v);
    if (std::isnan(x) || x == INFINITY) return false;
    if (x != -INFINITY) entries.push_back(Entry{x, v});
  }
  Iterator end = entries.end();
  if (args.top_k > 0 && args.top_k < end - entries.begin()) {
    const Iterator cut = entries.begin() + args.top_k;
    std::nth_element(entries.begin(), cut, end, before);
    end = cut;
  }
  if (args.top_p < 1 && end != entries.begin()) end = entries.begin() + prefix(args, entries.begin(), end);
  memset(out, 1, args.vocab);
  for (Iterator i = entries.begin(); i != end; ++i) out[i->column] = 0;
  return true;
}

}  // namespace pymdm::ops
