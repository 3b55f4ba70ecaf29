#include "device/choose.h"

#include <ATen/TensorIndexing.h>
#include <ATen/ops/zeros.h>

#include "core/error.h"
#include "ops/cpu/choose_allowed.h"

namespace pymdm::device {
namespace {

bool has_set(const ops::ChooseArgs& args, int64_t row) { return args.allowed && args.allowed[row].data; }

[[noreturn]] void fail_bad(int64_t row) {
  fail_row("choose", row, "has NaN, +inf or no token to choose: every logit is -inf, banned or not allowed");
}

// Tokens of the rows that have a set.
void choose_sets(const at::Tensor& logits, const ops::ChooseArgs& args) {
  std::vector<int64_t> rows, columns;
  for (int64_t row = 0; row < args.rows; ++row) {
    if (!has_set(args, row)) continue;
    rows.insert(rows.end(), args.allowed[row].size, row);
    columns.insert(columns.end(), args.allowed[row].begin(), args.allowed[row].end());
  }
  if (rows.empty()) return;
  const at::Tensor at_row = upload(rows, at::kLong, logits.device());
  const at::Tensor at_column = upload(columns, at::kLong, logits.device());
  const at::Tensor values = logits.index({at_row, at_column}).cpu().contiguous();
  const char* next = static_cast<const char*>(values.data_ptr());
  for (int64_t row = 0; row < args.rows; ++row) {
    if (!has_set(args, row)) continue;
    const ops::Part part = ops::choose_set(args, row, next, true, 0, args.vocab);
    if (part.bad || part.column < 0) fail_bad(row);
    args.token[row] = part.column;
    next += args.allowed[row].size * element_size(args.dtype);
  }
}

}  // namespace

void queue_choose(const Where& where, const ops::ChooseArgs& args, const at::Tensor& scratch) {
  if (where.cuda())
    ops::choose_cuda(args, scratch.data_ptr(), where);
  else
    ops::choose_tiles(args);
}

at::Tensor choose_scratch(const at::Device& device, int64_t rows, int64_t vocab) {
  const int64_t bytes = device.is_cuda() ? ops::choose_cuda_scratch(rows, vocab) : 0;
  return at::zeros({bytes}, at::TensorOptions().dtype(at::kByte).device(device));
}

void choose(const at::Tensor& logits, ops::ChooseArgs args) {
  if (args.rows == 0) return;
  const at::Device device = logits.device();
  const c10::DeviceGuard guard(device);
  const int64_t rows = args.rows;
  const ops::ChooseArgs asked = args;
  const auto put = [&](const auto* from, int64_t n, at::ScalarType type) {
    if (from == nullptr) return at::Tensor();
    at::Tensor host = at::empty({n}, at::TensorOptions().dtype(type));
    std::memcpy(host.data_ptr(), from, host.nbytes());
    return host.to(device);
  };
  // Kept alive to the end of this function, which waits for the device.
  const at::Tensor sequence = put(args.sequence, rows, at::kLong), event = put(args.event, rows, at::kInt);
  const at::Tensor base = put(args.base, rows, at::kLong), banned = put(args.banned, args.vocab, at::kByte);
  const at::Tensor token = empty({rows}, at::kLong, device);
  args.logits = logits.data_ptr();
  args.sequence = data<uint64_t>(sequence);
  args.event = data<uint32_t>(event);
  args.base = data<uint64_t>(base);
  args.banned = data<uint8_t>(banned);
  args.token = data<int64_t>(token);
  queue_choose(where(device), args, choose_scratch(device, rows, args.vocab));
  const std::vector<int64_t> drawn = download<int64_t>(token);
  for (int64_t row = 0; row < rows; ++row) {
    if (drawn[row] < 0 && !has_set(asked, row)) fail_bad(row);
    asked.token[row] = drawn[row];
  }
  choose_sets(logits, asked);
}

}  // namespace pymdm::device
