#include "device/choose.h"

#include <ATen/ops/zeros.h>

#include "core/error.h"

namespace pymdm::device {

void queue_choose(const ops::Where& where, const ops::ChooseArgs& args, const at::Tensor& scratch) {
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
  int64_t* const tokens = args.token;
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
  for (int64_t row = 0; row < rows; ++row)
    if (drawn[row] < 0) fail_row("choose", row, "has NaN, +inf or no token above -inf that is not banned");
  std::memcpy(tokens, drawn.data(), rows * sizeof(int64_t));
}

}  // namespace pymdm::device
