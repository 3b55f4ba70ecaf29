#include "ops/choose.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "core/cpu.h"
#include "core/error.h"
#include "core/parallel.h"
#include "ops/convert.h"
#include "ops/cpu/choose_allowed.h"
#include "ops/cpu/choose_truncate.h"

namespace pymdm::ops {
namespace {

constexpr int64_t kPart = 32768;  // columns, at least, that are worth waking another thread (14 us of one)
constexpr int64_t kTask = 32768;  // columns, about, of one task where rows are short

// Says what is wrong with a row: its first NaN or +inf, else that it is empty.
[[noreturn]] void fail_bad_row(const ChooseArgs& a, int64_t row) {
  const char* logits = static_cast<const char*>(a.logits) + row * a.row_stride * element_size(a.dtype);
  std::vector<uint8_t> own;
  const uint8_t* banned = bans_of(a, row, 0, a.vocab, own);
  for (int64_t v = 0; v < a.vocab; ++v) {
    const double x = load_element(logits, a.dtype, v);
    if ((banned && banned[v]) || x < std::numeric_limits<double>::infinity()) continue;
    fail_row("choose", row, "has ", std::isnan(x) ? "nan" : "inf", " at token ", v, "; expected finite logits or -inf");
  }
  fail_row("choose", row, "has no token to choose: every logit is -inf, banned or not allowed");
}

// Ties go to the lower column, so the parts of a row may be joined in any order.
Part better(Part a, Part b) {
  Part out =
      b.column >= 0 && (a.column < 0 || b.score > a.score || (b.score == a.score && b.column < a.column)) ? b : a;
  out.bad = a.bad || b.bad;
  return out;
}

Part choose_columns(const SearchKernels& use, const ChooseArgs& args, int64_t row, int64_t begin, int64_t end) {
  static thread_local std::vector<uint8_t> own;
  const bool truncated = args.temperature > 0 && (args.top_k > 0 || args.top_p < 1);
  if (!truncated && small_set(args, row, args.vocab)) {
    const char* logits = static_cast<const char*>(args.logits) + row * args.row_stride * element_size(args.dtype);
    return choose_set(args, row, logits, false, begin, end);
  }
  const uint8_t* banned = bans_of(args, row, begin, end, own);
  if (args.temperature == 0) return greedy_part(use, args, row, banned, begin, end);
  if (!truncated) return choose_part(use, args, row, banned, begin, end);
  own.resize(args.vocab);
  if (!truncate_row(args, row, banned, own.data())) return Part{0, -1, true};
  return choose_part(use, args, row, own.data(), begin, end);
}

}  // namespace

const SearchKernels& search_kernels() {
#if defined(__x86_64__)
  const CpuFeatures cpu = cpu_features();
  if (cpu.avx512) return search_avx512();
  if (cpu.avx2 && __builtin_cpu_supports("f16c")) return search_avx2();
#endif
  return search_portable();
}

void choose(const ChooseArgs& args) {
  if (args.rows == 0) return;
  const SearchKernels& use = search_kernels();
  const bool truncated = args.temperature > 0 && (args.top_k > 0 || args.top_p < 1);
  // Few long rows are cut into parts, so that one row too can use all threads. The winner does not depend on the cut.
  const int64_t threads = num_threads();
  const int64_t wanted = args.rows >= 4 * threads || truncated ? 1 : (4 * threads + args.rows - 1) / args.rows;
  const int64_t parts = threads == 1 ? 1 : std::max<int64_t>(1, std::min(wanted, args.vocab / kPart));
  const int64_t length = ((args.vocab + parts - 1) / parts + 3) / 4 * 4;
  std::atomic<int64_t> first_bad{args.rows};
  std::vector<Part> found(parts > 1 ? args.rows * parts : 0);
  const auto finish = [&](int64_t row, Part part) {
    args.token[row] = part.column;
    if (!part.bad && part.column >= 0) return;
    args.token[row] = -1;
    for (int64_t seen = first_bad.load(); row < seen && !first_bad.compare_exchange_weak(seen, row);) {
    }
  };
  const int64_t grain = std::max<int64_t>(1, kTask / std::max<int64_t>(1, args.vocab));
  parallel_for(args.rows * parts, parts > 1 ? 1 : grain, [&](int64_t task, int64_t task_end) {
    for (; task < task_end; ++task) {
      const int64_t row = task / parts, begin = task % parts * length;
      const Part part = choose_columns(use, args, row, begin, std::min(args.vocab, begin + length));
      if (parts == 1)
        finish(row, part);
      else
        found[task] = part;
    }
  });
  for (int64_t row = 0; parts > 1 && row < args.rows; ++row) {
    Part best{0, -1, false};
    for (int64_t i = 0; i < parts; ++i) best = better(best, found[row * parts + i]);
    finish(row, best);
  }
  if (first_bad.load() < args.rows && !args.mark_bad) fail_bad_row(args, first_bad.load());
}

void plain_max(const void* logits, DType dtype, int64_t rows, int64_t vocab, int64_t row_stride, float* most) {
  const SearchKernels& use = search_kernels();
  parallel_for(rows, std::max<int64_t>(1, kTask / std::max<int64_t>(1, vocab)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      most[row] = use.extent(static_cast<const char*>(logits) + row * row_stride * element_size(dtype), dtype, nullptr,
                             0, vocab)
                      .most;
  });
}

}  // namespace pymdm::ops
